"""Page furniture: which lines of a scraped article are not its text.

A line is judged by what it says, never by the site it came from. Nothing is removed: the caller keeps the line with the
reason, so that it is counted and can be looked at.
"""

from __future__ import annotations

import re

# Words that patterns below refer to as <name>.
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
}

# One pattern a line. Each must match the whole line, white space and list or emphasis marks already trimmed.
_PATTERNS = {
    "share line": r"""
        (<network>)([\s,|/·•]+(<network>))*[.!]?
        (please )?(share|follow|like|save|bookmark|print)( (<filler>|<channel>)[:.!,|]*)+
        share (on|via) .{2,70}
        share this( (article|story|post|page|news|link|content|video))?\W*((with|on|via) .{2,40})?
        share this( (article|story|post|page))?\s*:.{0,80}
        (email|print|send) this (article|page|story)\b.{0,60}
        (enjoyed|did you (like|enjoy)) this (article|story|post|page)\?
    """,
    "comments": r"""
        (leave|post|add|write) (a|your) (comment|reply|review)( below)?[.!]?
        (view|show|load|read|hide)( all| more)?( \d+)? comments?( \(\d+\))?
        (\d+|no|one) (comments?|responses?|replies)[.!]?
        what do you think\?
        (\d+|one) (thoughts?|comments?|responses?|replies) (on|to) .+
        (\d[\d,. ]*|no|loading) (comments?|people reacted|views)( to this)?( (so far|yet|below))?[\s.…!|]*
        \d[\d,. ]* views\W+\d+ comments?\W*
        comments?( \(?\d*\)?)?( (are )?(closed|disabled|off)( (for|on) (this|the) \w+)?)?[.:]?
        comments? (you|posted|shared|made|published).{0,80}(site|page|platform|website).{0,80}
        (\d+ )?comments? ?(\(\d+\))?\W+((log|sign) in|report|show|hide|join)\b.{0,80}
        (please )?(be respectful|keep (your )?comments) .{0,160}(comment|users?|opinions?|language).{0,120}
        avoid using .{0,160}(language|comments|words)[.!]?
        be the first( to (comment|reply|react))?[.!]*
        (log|sign) in to (leave|post|add|write|join|reply|comment).{0,60}
        (if you (found|spot|notice) (a|an) (mistake|error|typo)|report an? (error|mistake|problem)).{0,120}
        your email address will not be published.*
    """,
    "cookie notice": r"""
        .{0,120}\b(uses?|accept|consent to|manage|about|our|reject) (<which>){0,3}cookies?\b.{0,160}
        (accept|reject|allow|manage) (all|cookies|preferences|settings)( cookies)?[.!]?
    """,
    "advertisement": r"""
        (advertisement|advertising|sponsored|promoted)\s*[:|–-].{0,160}
        \W*(advertisements?|sponsored( content)?|promoted( content)?|ads?|skip ad|remove ads|report this ad)\W*
        \W*(story continues below( advertisement)?|article continues (below|after).{0,30}|continue reading( below)?)\W*
        \W*scroll (down )?to continue.{0,40}
        \W*reklam yükleniyor\W*
    """,
    "loading notice": r"""
        (loading|please wait|yükleniyor|laden|chargement|cargando)[\s.…]*
        .{0,40}\b(javascript|your browser|adobe flash)\b.{0,80}(enable|disabled|support|required|play).{0,60}
        (video|audio|media|content|image) (is )?(unavailable|not available|loading|could not be loaded).{0,80}
    """,
    "newsletter": r"""
        (subscribe|sign ?up|register|log ?in|sign ?in)( now| here| free| today| to (read|continue).{0,40})?[.!]?
        (subscribe|sign ?up|register|log ?in|sign ?in) (for|to get) (full |unlimited |premium )?access.{0,40}
        (subscribe|sign ?up|join|register|log ?in|sign ?in|download)\b.{0,80}\b(newsletters?|inbox|alerts?|app)\b.{0,80}
        (subscribe|sign ?up|register)\b.{0,80}\b(daily|morning|evening|weekly) letter\b.{0,80}
        (subscribe|sign ?up|join|register|get|receive)\b.{0,60}\b(updates|briefing|bulletin|notifications?)\b.{0,60}
        (subscribe|join|get|download)\b.{0,60}\b(free trial|channel|daily digest|latest news|breaking news)\b.{0,80}
        follow us for .{2,60}
        get\b.{0,40}\balerts\b.{0,20}\b(phone|mobile|inbox|device)\W*
        (please |you can |click to )?(read|follow|join|find|like)\b.{0,30}\bon (<channel>)\b.{0,60}
    """,
    "related links": r"""
        (also read|read (also|more)|see (also|more)|related|you (may|might) (also )?like|more on this( story)?)[,.:…]*
        (recommended( for you)?|top stories|latest news|trending( now)?|editor[’']s picks?)[,.:…]*
        most (read|popular)( (today|now|this week))?[,.:…]*
        (in (other news|pictures|case you missed it)|don[’']t miss|further reading)[,.:…]*
        (up next|(next|previous) article)[,.:…]*
        (watch( (now|live|also|more))?|listen( to this article)?|more (from|stories).{0,40})[,.:…]*
        related (articles?|stories|topics|news|posts|coverage)[,.:…]*
        (also read|read( also| more| next)?|see also|related( \w+)?|watch( also)?|listen|more|up next)\s*[:|»>].{0,200}
        (don[’']t miss|further reading|recommended( for you)?|in pictures|most read|trending)\s*[:|»>].{0,200}
        (also interesting|you (may|might)( also)? like|this may interest you)\s*[:|»>].{0,200}
        (more|also) (from|on|in)( \S+){1,4}\s*[:|»>].{0,200}
        (read more|read the full (story|article)|click here|tap here|find out more|learn more)\b.{0,80}
        (view (gallery|all|original)|show (more|original)|load more|back to top|go to homepage)\b.{0,80}
        get the latest .{0,80}\b(here|on)\b.{0,40}
    """,
    "caption": r"""
        (<picture>)( credits?| by| courtesy( of)?| source)?\s*[:|/©].{0,220}
        .{0,260}[\[(]\s*(photo|image|picture|file photo|file|credit|ap photo|video)\b[^\])]{0,80}[\])]\.?
        .{0,260}\b(getty images|shutterstock|a[fp]p? photo|epa-efe|via (getty|reuters)|file (photo|picture|image))\W*
        .{0,260}/ ?(reuters|afp|epa)\W*
        caption\s*:.{0,220}
        file (photo|picture|image) shows .{2,220}
        \(file\).{0,120}
    """,
    "byline": r"""
        (by|from|(written|reported|compiled|edited) by|(report|edit)ing by)\s+<name>((,? and|,|\s&)?\s+<name>){0,6}\W*
        author:?\s+<name>(\s+<name>){0,4}
        by\s+<name>(\s+<name>){0,4},? (in|at|for|with) .{2,60}
        (by|from) (our|a|an|the) ([\w-]+ ){0,3}(<staff>)(,? ((in|at|for|from|with) )?.{2,60})?\W*
        (by|from) .{2,40}\b(<staff>)\W*(\W+(updated|posted|published)\b.{0,60}|\|\s*(<date>).{0,20})?
        \(?(reporting|writing|editing|additional reporting|translated|compiled|edited) by .{2,160}
        (interview|words|pictures|text|photos?|live updates)( and \w+)? by\b.{2,80}
        (<posted>)( on| at|:)?\s([a-z]{3,9}\.?,? )?(<date>)<times>(\W+(<after>)\b.{0,30})?
        posted (by \w+ )?in:? .{2,40}(\|\s*\d+ comments?)?
        (?-i:[A-Z]{2,}[A-Z .'-]*), (<month>)\w*\.? \d{1,2}( \([\w ]{2,40}\))?\W*
        (<posted>)( at|:)?\s\d+ \w+ ago<times>
        (<date>)<times>(\W+(<after>)\b.{0,30}|\s*\|.{0,40})?
        \d{1,2}[:.]\d{2}( ?[ap]\.?m\.?)?( ?(<zone>)( ?[+-]\d{1,2})?)?
        \d+ min(ute)?s?\.?( read)?
    """,
    "legal line": r"""
        .{0,40}all rights reserved.{0,80}
        ((see|read|view|by .{0,40}agree.{0,20})\W)?\W*(our |the )?(<terms>)\W*
        (terms|privacy|legal|cookies|about|contact)[\w ]{0,20}([|·/&,]| and )[\w |·/&,]{0,80}
        (copyright|©).{0,120}
        (disclaimer|corrections? policy)\b.{0,200}
    """,
    "navigation": r"""
        (home|menu|search|close|skip to (main )?content|about us|contact( us)?|background|details)\s*[:»>|]?
        (tags?|tagged|topics?|categories|category|sections?|sources?|share this|filed under|keywords)\s*[:»>|]?
        (tags?|tagged|topics?|categories|category|filed under|keywords)\s*[:|].{0,200}
        (source|sources|via)\s*[:|].{1,120}
        (home|news|world)\s*([»>/|›][\w ]{2,32}){1,5}
        you are here\s*:.{0,160}
    """,
    "mark": r"""
        [\W\d_]*
    """,
}

REASONS = tuple(_PATTERNS)
"""Everything that `boilerplate_reason` may answer. A "mark" is a line without any letter."""

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
    """Why `line` (one line of a page, marks trimmed) is page furniture: one of `REASONS`, or "" when it is text."""
    if len(line) > _LONG:
        return ""
    known = next((reason for reason, pattern in _COMPILED if pattern.fullmatch(line)), "")
    return known or ("navigation" if _is_bar(line) else "")


def _is_bar(line: str) -> bool:
    """Three or more short parts between separators, with no sentence among them: `Home | World | Sport`."""
    parts = [part.strip() for part in re.split(r"[|»>›]", line)]
    return len(parts) >= _BAR_PARTS and not re.search(r"[.?!]", line) and all(0 < len(p) <= _BAR_WIDTH for p in parts)
