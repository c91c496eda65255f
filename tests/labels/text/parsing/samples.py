"""Exports of news archives. Every article, name and number in them is invented; only the layout is real."""

from __future__ import annotations

CLASSIC = """

Download Request: All Documents: 1-2
Time Of Request: Saturday, June 8, 2024  22:32:52 EST


Terms: (truce AND envoy)


                               1 of 2 DOCUMENTS


                       Copyright 2024 Valley Press Ltd
                              All Rights Reserved

                              The Valley Herald

                             June 8, 2024 Saturday
                                 Final Edition

SECTION: WORLD; Pg. A01

LENGTH: 62 words

HEADLINE: Envoy asks both sides
for a truce

BYLINE: Ana Lind;and reported by
Ben Sand

BODY:

The envoy called on both sides to lay down their arms before the harvest
begins in the upper valley this summer.

"We won't sign," the general said.

NOTES: the offer stands, an aide wrote.

It rained.

LANGUAGE: ENGLISH

PUBLICATION-TYPE: Newspaper

SUBJECT: WAR (90%); TRUCE
(80%)

GRAPHIC: PHOTO: A ferry waits.

PHOTO: A crowd looks on.

LOAD-DATE: June 9, 2024


                               2 of 2 DOCUMENTS



                              Talblatt (Oberstadt)

                            January 11, 2010 Monday
                                   Edition 1;
                                    Scotland

Headline without a field

BYLINE: Eva Klee

HIGHLIGHT: The council wants silence.

LENGTH: 355 words

The council promised forty lorries of grain.

LOAD-DATE: January 11, 2010

LANGUAGE: GERMAN

JOURNAL-CODE: TAL


                       Copyright 2010 Talblatt GmbH
                              All Rights Reserved
"""

UNI = """User Name: =
Date and Time: Saturday, June 8, 2024 3:55:00 PM CEST
Job Number: 123456

Documents (2)
1. Envoy asks both sides for a truce
   Client/Matter: -None-
   Search Terms: truce
2. Council promises grain
   Client/Matter: -None-
| About LexisNexis | Privacy Policy | Terms & Conditions | Copyright © 2024 LexisNexis


Envoy asks both sides for a truce

The Valley Herald (London)

June 8, 2024 Saturday 10:15 AM GMT


Copyright 2024 Valley Press Ltd All Rights Reserved

Section: NEWS; Pg. 4

Length: 51 words

Byline: Ana Lind

Highlight: The envoy wants silence.

Body


The envoy called on both sides to lay down their arms.

Page 2 of 3

Body of evidence: the general refused.

Graphic



A ferry waits.

Classification


Language: ENGLISH

Publication-Type: Newspaper

Subject: WAR (90%)

Load-Date: June 8, 2024


End of Document


Council promises grain
Talblatt
11. Januar 2010 Montag
Copyright 2010 Talblatt GmbH
Length: 5 words
Body
The council promised forty lorries of grain.
Load-Date: January 11, 2010
End of Document
"""

CODED = """Page 1 of 2 © 2024 Factiva, Inc. All rights reserved.

SE News
HD Envoy asks both sides for a truce
BY By Ana Lind
WC 62 words
PD 8 June 2024
ET 10:15
SN Valley Wire
SC VALW
LA English
CY Copyright 2024 Valley Wire

LP
OBERSTADT, June 8 (VW) - The envoy called on both sides.

TD
IN a statement, the general refused.

Page 2 of 2 © 2024 Factiva, Inc. All rights reserved.

CO deals are off, he said.

CO
valgrp : Valley Group
IN i81 : Banking
NS gcat : Political News | gdip : International Relations
RE ukrn : Ukraine
IPC CAX-GPOL
PUB Valley Wire Ltd
AN
Document VALW000020240608ek68000a1

HD|Council promises grain|
WC|5 words|
PD|11 January 2010|
SN|Talblatt|
LA|German|
LP|The council promised grain.|
TD|Forty lorries wait.

It rained.|
AN|Document TALB000020100111e61b00002|

*HD* Council votes
*PD* 12 January 2010
*SN* Talblatt
*LP* The council votes on Monday.
*AN* Document TALB000020100112e61c00003

Search Summary
Text                (truce and envoy)
"""

HEADED = """World News
Envoy asks both sides for a truce
By Ana Lind
62 words
8 June 2024
10:15
Valley Wire
VALW
English
Copyright 2024 Valley Wire. All Rights Reserved.

OBERSTADT, June 8 (VW) - The envoy called on both sides.

"We won't sign," the general said.

Document VALW000020240608ek68000a1

Council promises grain
1,062 words
11 January 2010
Talblatt
TALB
A1
German
(c) 2010 Talblatt GmbH
The council promised grain.
It rained.
Document TALB000020100111e61b00002
"""
