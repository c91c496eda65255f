"""Boilerplate: which lines of a scraped article are not its text.

A line is judged by its words, never by the site it comes from. Nothing is removed: the caller keeps the line with the
reason, so that it is counted and can be inspected.
"""

from __future__ import annotations

import re

# Alternatives that the patterns below refer to as <name>.
_WORDS = {
    "network": "share|tweet|pin( it)?|e?-?mail|print|copy link|whatsapp|facebook|telegram|twitter|linkedin|reddit|x|vk",
    "channel": "telegram|facebook|twitter|instagram|google news|whatsapp|youtube|linkedin|messenger|reddit|email|"
    "social (networks?|media)",
    "filler": "this|us|on|the|via|to|our|article|story|post|page|news|link|with|friends|and|by|it|in|for|later|more|x",
    "picture": "photo( caption)?|photos|image( caption)?|images|picture|file photo|"
    "photograph|video|illustration|graphic|map|credit|pic",
    "staff": "correspondents?|reporters?|staff|desk|teams?|editor|writer|agency|bureau|contributor|columnist|newsroom",
    "terms": "terms (of (use|service)|and conditions)|privacy policy",
    "which": "the use of |all |our |optional |third-party |and |similar ",
    "month": "jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec",
    "posted": "posted|published|updated|last (updated|modified)|first published|date|issued",
    "date": r"(\d{1,2}|(<month>)\w*)[ .,/-]{1,2}(\d{1,2}|(<month>)\w*)([ .,/-]{1,2}\d{2,4})?",
    "times": r"(\W+(\d{1,2}[:.]\d{2}( ?[ap]\.?m\.?)?|(<zone>)|\d+ min(utes?)? read)){0,4}",
    "after": "updated|published|views?|reading time|by",
    "zone": "gmt|utc|cet|est|edt|bst",
    "name": r"(?-i:[A-Z][\w.’'\-]*)",
    "verb": "(?-i:was|were|is|are|has|have|had|will|would|could|should|must|did|shows?|showed|called|said|says)",
    "fresh": "the|our|your|all|more|free|latest|breaking|live|daily|weekly|morning|evening|instant|email|e-mail|"
    "push|news|and|top|regular|exclusive",
    "notice": "updates|briefing|bulletin|notifications?",
    "missing": "unavailable|not available|loading|could not be loaded",
    "origin": "agenc(y|ies)|archives?|authors?|calculations|channel|company|compiled|correspondents?|data|document|"
    "foreign|from|government|local|media|ministry|news|of|office|official|on|open|own|page|press|reports?|service|site|"
    "social|state|statement|the|and|for|website|account|handout|in|x|citing|https?",
    "page": "terms( of (use|service)| and conditions)?|privacy( policy)?|legal( notice)?|cookies|about( us)?|"
    "contact( us)?",
}

# One pattern a line. Each must match the whole line, white space and list or emphasis marks already trimmed.
_PATTERNS = {
    "share line": r"""
        (<network>)([\s,|/·•]+(<network>))*[.!]?
        (?!(please )?save us\b)(please )?(share|follow|like|save|bookmark|print)( (<filler>|<channel>)[:.!,|]*)+
        share (on|via) (<network>|<channel>|line|viber|bluesky|threads|pinterest|signal)\b.{0,70}
        share this( (article|story|post|page|news|link|content|video))?\W*((with|on|via) .{2,40})?
        share this( (article|story|post|page))?\s*:.{0,80}
        (email|print|send) this (article|page|story)\b.{0,60}
        (enjoyed|did you (like|enjoy)) this (article|story|post|page)\?
    """,
    "comments": r"""
        (leave|post|add|write) (a|your) (comment|reply|review)( below)?[.!]?
        (view|show|load|read|hide)( all| more)?( \d+)? comments?( \(\d+\))?
        (\d+ (comments?|responses?|replies)|no (comments|responses|replies)|one (comment|response|reply))[.!]?
        what do you think\?
        (\d+|one) thoughts? on .*[^.]
        (\d+|one) (comments?|responses?|replies) (on|to) [“"‘'«].+[”"’'»]\.?
        \d+ (comments?|responses?|replies) (on|to) (?-i:[A-Z]).*[^.]
        (\d[\d,. ]*|loading) (comments?|people reacted|views)( to this)?( (so far|yet|below))?[\s.…!|]*
        no (comments|views)( (so far|yet|below))?[\s.…!|]*
        \d[\d,. ]* views\W+\d+ comments?\W*
        comments?( \(?\d*\)?)?( (are )?(closed|disabled|off)( (for|on) (this|the) \w+)?)?[.:]?
        comments? (you|posted|shared|made|published)\b.{0,80}\b(this|our) (site|page|platform|website)\b.{0,80}
        (\d+ )?comments? ?(\(\d+\))?\W+((log|sign) in|join the (conversation|discussion|debate))\b.{0,80}
        (\d+ )?comments?( ?\(\d+\)|\s*[^\w\s(])\W*(report|show|hide|join)\b.{0,80}
        (please )?be respectful .{0,80}\b(comment\w*|users?|readers|opinions?|language)\b.{0,120}
        (please )?keep (your )?comments (civil|polite|respectful|clean|short|brief|relevant|on.topic)\b.{0,160}
        avoid using .{0,160}(language|comments|words)[.!]?
        be the first( to (comment|reply|react))?[.!]*
        (log|sign) in to (leave|post|add|write|join|reply|comment).{0,60}
        (if you (found|spot|notice) (a|an) (mistake|error|typo)|report an? (error|mistake|problem)).{0,120}
        your email address will not be published.*
    """,
    "cookie notice": r"""
        (.{0,120}\b(site|website|page|app|we|partners|services?) )?uses? (<which>){0,3}cookies?\b.{0,160}
        (.{0,120}[.!] )?(accept|consent to|manage|reject) (<which>){0,3}cookies?\b.{0,160}
        .{0,120}\b(you|click to|agree to) (accept|consent to|manage) (<which>){0,3}cookies?\b.{0,160}
        .{0,120}\b(our|more about|the use of) (<which>){0,3}cookies?( policy| notice| settings|[.:;|]).{0,160}
        (accept|reject|allow|manage) (all|cookies|preferences|settings)( cookies)?[.!]?
    """,
    "advertisement": r"""
        (advertisement|advertising|sponsored|promoted)\s*[:|].{0,160}
        advertisement\s+[–-]\s.{0,160}
        \W*(advertisements?|sponsored( content)?|promoted( content)?|ads?|skip ad|remove ads|report this ad)\W*
        \W*(story continues below( advertisement)?|article continues (below|after).{0,30}|continue reading( below)?)\W*
        \W*scroll (down )?to continue.{0,40}
        \W*reklam yükleniyor\W*
    """,
    "loading notice": r"""
        (loading|please wait|yükleniyor|laden|chargement|cargando)[\s.…]*
        .{0,40}\b(javascript|your browser|adobe flash)\b.{0,80}(enable|disabled|support|required|play).{0,60}
        (video|audio|media|content|image) (is )?(<missing>)((, | (in|at|for|on|here|now)\b).{0,80})?\W*
    """,
    "newsletter": r"""
        (subscribe|sign ?up|register|log ?in|sign ?in)( now| here| free| today| to (read|continue).{0,40})?[.!]?
        (subscribe|sign ?up|register|log ?in|sign ?in) (for|to get) (full |unlimited |premium )?access.{0,40}
        (subscribe|sign ?up|log ?in|sign ?in)\b.{0,80}\b(newsletters?|inbox|alerts?|app)\b.{0,80}
        (join|register) (now|here|for|us|our|the|with|to)\b.{0,80}\b(newsletters?|inbox|alerts|mailing list)\b.{0,80}
        download( [\w’'-]+){0,4} (newsletters?|app)\b.{0,80}
        (subscribe|sign ?up|register)\b.{0,80}\b(daily|morning|evening|weekly) letter\b.{0,80}
        (subscribe|sign ?up)\b.{0,60}\b(<notice>)\b.{0,60}
        (join|register) (now|here|for|us|our)\b.{0,40}\b(<notice>)\b.{0,60}
        (get|receive)( (<fresh>))* (<notice>)(?! of\b)\b.{0,60}
        subscribe\b.{0,60}\b(free trial|channels?|daily digest|latest news|breaking news)\b.{0,80}
        (get|join|download|start)( [\w’'-]+){0,3} (free trial|daily digest)\b.{0,80}
        (get|join|follow|read)\b.{0,30}\b(our|<channel>)( [\w’'-]+)? channels?\b.{0,80}
        get( (<fresh>))* (latest|breaking) news\b.{0,80}
        follow us for .{0,40}\b(news|headlines|updates|stories|alerts|coverage|more)\b.{0,40}
        get\b.{0,40}\balerts\b.{0,20}\b(phone|mobile|inbox|device)\W*
        (please |you can |click to )?((read|follow|join|find)( [^\s,]+){1,3}|like us) on (<channel>)(\W.{0,60})?
    """,
    "related links": r"""
        (also read|read (also|more)|see (also|more)|related|you (may|might) (also )?like|more on this( story)?)[,.:…]*
        (recommended( for you)?|top stories|latest news|trending( now)?|editor[’']s picks?)[,.:…]*
        most (read|popular)( (today|now|this week))?[,.:…]*
        (in (other news|pictures|case you missed it)|don[’']t miss|further reading)[,.:…]*
        (up next|(next|previous) article)[,.:…]*
        (watch( (now|live|also|more))?|listen( to this article)?)[,.:…]*
        more (from|stories)[^.?!]{0,40}
        related (articles?|stories|topics|news|posts|coverage)[,.:…]*
        (also read|read( also| more| next)?|see also|related|watch also|up next)\s*[:|»>].{0,200}
        (related \w+|watch|listen|more)\s*[:|»>](.{0,200}[^.])?
        (don[’']t miss|further reading|recommended( for you)?|in pictures|most read|trending)\s*[:|»>].{0,200}
        (also interesting|you (may|might)( also)? like|this may interest you)\s*[:|»>].{0,200}
        (more|also) (from|on|in)(?! the (?!news\b))( \S+){1,4}\s*[:|»>](.{0,200}[^.])?
        (read more(?! (than|into|as))|read the full (story|article)|(click|tap) here|find out more|learn more)\b.{0,80}
        (view (gallery|all|original)|show (more|original)|load more)( (stories|articles?|news|posts( by \w+)?))?\W*
        (back to top|go to homepage)\b.{0,40}
        get the latest ((on|from) .{0,60}\bhere|.{0,60}\b(news|stories|headlines|coverage)\b.{0,60}\b(here|on))\b.{0,40}
    """,
    "caption": r"""
        (<picture>)( credits?| by| courtesy( of)?| source)?\s*([:|©]|/ |/(?-i:[A-Z])).{0,220}
        .{0,260}[\[(]\s*(photo|image|picture|video)s?\s*([:/|©–-]|(?-i:[A-Z])|(by|from|credit|courtesy)\b)[^\])]{1,80}[\])]\.?
        .{0,260}[\[(]\s*(file|credit|ap photo)\b[^\])]{0,80}[\])]\.?
        .{0,260}\b(getty images|shutterstock|a[fp]p? photo|epa-efe|via (getty|reuters))\W*
        (.{0,260}([.!?,|/:;()\[–-]|\bin (a|this|this undated))\s*)?file (photo|picture|image)\W*
        .{0,260}/ ?(reuters|afp|epa)\W*
        caption\s*:.{0,220}
        file (photo|picture|image) shows .{2,220}
        \(file\).{0,120}
    """,
    "byline": r"""
        (by|from|(written|reported|compiled|edited) by|(report|edit)ing by)\s+<name>((,? and|,|\s&)?\s+<name>){0,6}\W*
        author:?\s+<name>(\s+<name>){0,4}
        by\s+<name>(\s+<name>){0,4},? (in|at|for|with) [^.,!?]{2,60}
        (by|from) (our|a|an|the) ([\w-]+ ){0,3}(<staff>)\W*
        (by|from) (our|a|an|the) ([\w-]+ ){0,3}(<staff>)(,? (in|at|for|from|with) |,? (?=(?-i:[A-Z]))| ?\|)[^.!?]{2,60}
        (by|from) .{2,40}\b(<staff>)\W*(\W+(updated|posted|published)\b.{0,60}|\|\s*(<date>).{0,20})?
        (?!.*\b<verb>\b)\(?(reporting|writing|editing|additional reporting|translated|compiled|edited) by .{2,160}
        (?!.*\b<verb>\b)(interview|words|pictures|text|photos?|live updates)( and \w+)? by\b.{2,80}
        (<posted>)( on| at|:)?\s([a-z]{3,9}\.?,? )?(<date>)<times>(\W+(<after>)\b.{0,30})?
        posted (by \w+ )?in:? [^.!?]{2,40}(\|\s*\d+ comments?)?
        (?-i:[A-Z]{2,}[A-Z .'-]*), (<month>)\w*\.? \d{1,2}( \([\w ]{2,40}\))?\W*
        (<posted>)( at|:)?\s\d+ \w+ ago<times>
        (<date>)<times>(\W+(<after>)\b.{0,30}|\s*\|.{0,40})?
        \d{1,2}[:.]\d{2}( ?[ap]\.?m\.?)?( ?(<zone>)( ?[+-]\d{1,2})?)?
        \d+ min(ute)?s?\.?( read)?
    """,
    "legal line": r"""
        .{0,40}all rights reserved.{0,80}
        ((see|read|view|by .{0,40}agree.{0,20})\W)?\W*(our |the )?(<terms>)\W*
        (<page>)\s*([|·/&][\w ]{2,26}){1,8}
        (<page>)(, ?| and )(<page>)((, ?| and )(<page>))?
        (copyright\s*(©|\(c\)|\d{4}|[:|]|(?-i:[A-Z]))|©).{0,120}
        (disclaimer|corrections? policy)(\s*[:.|–-].{0,200})?
    """,
    "navigation": r"""
        (home|menu|search|close|skip to (main )?content|about us|contact( us)?|background|details)\s*[:»>|]?
        (tags?|tagged|topics?|categories|category|sections?|sources?|share this|filed under|keywords)\s*[:»>|]?
        (tags?|tagged|topics?|categories|category|filed under|keywords)\s*[:|].{0,200}
        (sources?|via)\s*[:|].{1,120}\|.{0,80}
        (sources?|via)\s*[:|](?!.*(?<![\w.’'/:@-])(?!(<origin>)\b|\S*\.\w)(?-i:[a-z])).{1,120}
        (home|news|world)\s*([»>/|›][\w ]{2,32}){1,5}
        you are here\s*:.{0,160}
    """,
    "mark": r"""
        [\W\d_]*
    """,
}

REASONS = tuple(_PATTERNS)
"""The reasons that `boilerplate_reason` gives. A "mark" is a line without any letter."""

# Reported speech is text: "Sign up to the truce, the envoy urged". After a colon it may be the headline of a link.
_ATTRIBUTED = re.compile(
    r"[^:|]*,[”\"’']? ([\w’'-]+ ){0,5}"
    r"(said|says|told|tells|urged|urges|asked|asks|begged|pleaded|demanded|ordered|warned|insisted|joked)\b"
)
_LONG = 320
_BAR_PARTS, _BAR_WIDTH = 3, 60


def _compile(pattern: str) -> re.Pattern[str]:
    while named := re.search(r"<(\w+)>", pattern):
        pattern = pattern.replace(named.group(), _WORDS[named.group(1)])
    return re.compile(pattern, re.IGNORECASE)


_COMPILED = [
    (reason, _compile(line.strip())) for reason, text in _PATTERNS.items() for line in text.strip().split("\n")
]


def boilerplate_reason(line: str) -> str:
    """Why `line` (one line of a page, marks trimmed) is boilerplate: one of `REASONS`, or "" when it is text."""
    if len(line) > _LONG:  # a paragraph; this also bounds the time that a pattern can take
        return ""
    known = next((reason for reason, pattern in _COMPILED if pattern.fullmatch(line)), "")
    if known != "caption" and _ATTRIBUTED.match(line):
        return ""
    return known or ("navigation" if _is_bar(line) else "")


def _is_bar(line: str) -> bool:
    """Three or more short parts between separators, with no sentence among them: `Home | World | Sport`."""
    parts = [part.strip() for part in re.split(r"[|»>›]", line)]
    return len(parts) >= _BAR_PARTS and not re.search(r"[.?!]", line) and all(0 < len(p) <= _BAR_WIDTH for p in parts)
