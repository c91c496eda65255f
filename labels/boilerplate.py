"""Page furniture: which lines of a scraped article are not its text.

A line is judged by what it says, never by the site it came from. Nothing is removed: the caller keeps the line with the
reason, so that it is counted and can be looked at.
"""

from __future__ import annotations

import re

_I = re.IGNORECASE

# Each pattern must match the whole line, white space and list or emphasis marks already trimmed.
_WHOLE_LINE: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (reason, re.compile(pattern, _I))
    for reason, pattern in (
        ("share line", r"(share|tweet|pin|email|print|copy link|whatsapp|facebook|telegram|twitter|linkedin|reddit|x)"
                       r"([\s,|/·•]+(share|tweet|pin|pin it|email|print|copy link|whatsapp|facebook|telegram|twitter|linkedin|"
                       r"reddit|x))*[.!]?"),
        ("share line", r"(please )?(share|follow|like|save|bookmark|print)( (this|us|on|the|via|to|our|article|story|post|page"
                       r"|news|link|with|friends|and|by|it|in|for|later|more|updates|facebook|twitter|x|telegram|whatsapp"
                       r"|instagram|youtube|google|email|linkedin|messenger|reddit)[:.!,|]*)+"),
        ("share line", r"share (on|this|via)\b.{2,70}"),
        ("share line", r"(email|print|send) this (article|page|story)\b.{0,60}"),
        ("comments", r"(leave|post|add|write) (a|your) (comment|reply|review)( below)?[.!]?"),
        ("comments", r"(view|show|load|read|hide)( all| more)?( \d+)? comments?( \(\d+\))?"),
        ("comments", r"(\d+|no|one) (thoughts?|comments?|responses?|replies)( (on|to) .+)?"),
        ("comments", r"comments?( \(?\d*\)?)?( (are )?(closed|disabled|off))?[.:]?"),
        ("comments", r"comments? (you|posted|shared|made|published).{0,80}(site|page|platform|website).{0,80}"),
        ("comments", r"(please )?(be respectful|keep (your )?comments|avoid using) .{0,160}"
                     r"(comment|users?|opinions?|language|offensive|abusive).{0,120}"),
        ("comments", r"(be the first( to (comment|reply|react))?|(log|sign) in to (leave|post|add|write|join|reply|comment).{0,60})[.!]*"),
        ("comments", r"(\d+ )?comments? ?(\(\d+\))?\W+((log|sign) in|report|show|hide|join)\b.{0,80}"),
        ("comments", r"(\d[\d,. ]*|no|loading) (comments?|people reacted|views)\b.{0,40}"),
        ("comments", r"(if you (found|spot|notice) (a|an) (mistake|error|typo)|report an? (error|mistake|problem)).{0,120}"),
        ("comments", r"your email address will not be published.*"),
        ("cookie notice", r".{0,120}\b(uses?|accept|consent|manage|about|of|our|reject)( \w+){0,3} cookies?\b.{0,160}"),
        ("cookie notice", r"(accept|reject|allow|manage) (all|cookies|preferences|settings)( cookies)?[.!]?"),
        ("advertisement", r"(advertisement|advertising|sponsored|promoted)\s*[:|–-].{0,160}"),
        ("advertisement", r"\W*(advertisement|advertisements|sponsored( content)?|promoted( content)?|ad|ads|"
                          r"story continues below( advertisement)?|article continues (below|after).{0,30}|"
                          r"continue reading( below)?|scroll (down )?to continue.{0,40}|skip ad|remove ads|"
                          r"report this ad|reklam yükleniyor)\W*"),
        ("loading notice", r"(loading|please wait|yükleniyor|laden|chargement|cargando)[\s.…]*"),
        ("loading notice", r".{0,40}\b(javascript|your browser|adobe flash)\b.{0,80}(enable|disabled|support|required|play).{0,60}"),
        ("loading notice", r"(video|audio|media|content|image) (is )?(unavailable|not available|loading|could not be loaded).{0,80}"),
        ("newsletter", r"(subscribe|sign up|signup|join|register|get|receive|download|log ?in|sign ?in)\b.{0,80}"
                       r"\b(newsletter|inbox|alerts?|channel|updates|briefing|app|free trial|notifications?|today|telegram"
                       r"|whatsapp|latest news|breaking news|daily digest)\b.{0,80}"),
        ("newsletter", r"(subscribe|sign up|log ?in|sign ?in|register)( now| here| free| today| to (read|continue).{0,40})?[.!]?"),
        ("newsletter", r".{0,60}\b(read|follow|join|find)\b.{0,30}\bon (telegram|facebook|twitter|instagram|google news|whatsapp"
                       r"|youtube)\b.{0,30}"),
        ("related links", r"(also read|read also|read more|see also|see more|related|more on this( story)?|you may (also )?like|"
                          r"you might (also )?like|recommended|recommended for you|most read|most popular|top stories|"
                          r"latest news|trending( now)?|in (other news|pictures|case you missed it)|don[’']t miss|"
                          r"watch( (now|live|also|more))?|listen( to this article)?|further reading|up next|next article|"
                          r"previous article|related (articles?|stories|topics|news|posts|coverage)|more (from|stories).{0,40}|"
                          r"editor[’']s picks?)[,.:…]*"),
        ("related links", r"(also read|read also|read more|see also|related|watch|watch also|listen|more|read|don[’']t miss|"
                          r"related (story|article|coverage)|further reading|recommended|recommended for you|in pictures|most read|trending|also interesting|you may like|this may interest you|"
                          r"read next|up next)\s*[:|»>].{0,200}"),
        ("related links", r"(more from|also (on|in)|more on)( \S+){1,4}\s*:.{0,200}"),
        ("related links", r"(read more|read the full (story|article)|click here|tap here|find out more|learn more|"
                          r"view (gallery|all|original)|show more|load more|back to top|go to homepage)\b.{0,80}"),
        ("related links", r"get the latest .{0,80}\b(here|on)\b.{0,40}"),
        ("caption", r"(photo|photos|image|images|picture|file photo|photograph|video|illustration|graphic|map|credit|pic)"
                    r"( credits?| by| courtesy( of)?| source)?\s*[:|/©].{0,220}"),
        ("caption", r".{0,260}[\[(]\s*(photo|image|picture|file photo|file|credit|ap photo|video)\b[^\])]{0,80}[\])]\.?"),
        ("caption", r".{0,260}\b(getty images|shutterstock|ap photo|afp photo|epa-efe|via getty|via reuters|/ ?reuters|/ ?afp|"
                    r"file (photo|picture|image))\W*"),
        ("caption", r"(\(?file\)?|©)\W.{0,120}"),
        ("byline", r"(by|from|written by|reported by|reporting by|edited by|editing by|compiled by|author:?)\s+"
                   r"(?-i:[A-Z][\w.’'\-]*)((,? and|,|\s&)?\s+(?-i:[A-Z][\w.’'\-]*)){0,6}"
                   r"(,? (in|at|for|with) .{2,60})?\s*[|·;.]*(\s*(editing|reporting|writing) by .{2,80})?"),
        ("byline", r"by (our|a|an|the) (\w+ ){0,3}(correspondent|reporter|staff|desk|editor|writer|agency|bureau)s?"
                   r"( (in|at|for|with) .{2,60})?\W*"),
        ("byline", r"\(?(reporting|writing|editing|additional reporting|translated|compiled|edited) by .{2,160}"),
        ("byline", r"(posted|published|updated|last (updated|modified)|first published|date|issued)( on| at|:)?\s.{0,20}\d.{0,40}"),
        ("byline", r"(\d{1,2}|[A-Z][a-z]{2,8})[ .,/\-]{1,2}(\d{1,2}|[A-Z][a-z]{2,8})[ .,/\-]{1,2}\d{2,4}"
                   r"([,\s|·]+\d{1,2}[:.]\d{2}( ?[ap]\.?m\.?)?( [A-Z]{2,4})?)?"),
        ("byline", r"\d{1,2}[:.]\d{2}( ?[ap]\.?m\.?)?( ?(gmt|utc|cet|est|edt|bst)( ?[+-]\d{1,2})?)?"),
        ("byline", r"\d+ min(ute)?s?\.?( read)?"),
        ("byline", r"(interview|words|pictures|text|photos?|live updates)( and \w+)? by\b.{2,80}"),
        ("byline", r"(from|by) (our|a|an|the) ([\w-]+ ){0,3}(correspondent|reporter|staff|desk|team|teams|contributor|columnist|newsroom)s?"
                   r"(,? (in|at|for|from|with)? ?.{2,60})?\W*"),
        ("byline", r"(by|from) .{2,40}\b(staff|desk|newsroom|reporters?)\W*(\W+(updated|posted|published)\b.{0,60})?"),
        ("legal line", r".{0,40}(all rights reserved|terms (of (use|service)|and conditions)|privacy policy).{0,80}"),
        ("legal line", r"(copyright|©).{0,120}"),
        ("legal line", r"(disclaimer|editor[’']s note on corrections|corrections? policy)\b.{0,200}"),
        ("navigation", r"(home|menu|search|close|skip to (main )?content|tags?|tagged|topics?|categories|category|sections?|source|"
                       r"sources|share this|about us|contact( us)?|background|details)\s*[:»>|]?"),
        ("navigation", r"(tags?|tagged|topics?|categories|category|filed under|keywords)\s*[:|].{0,200}"),
        ("navigation", r"(home|news|world)(\s*[»>/|›]\s*[\w ]{2,30}){1,5}"),
        ("navigation", r"(source|sources|via)\s*[:|].{1,120}"),
        ("navigation", r"you are here\s*:.{0,160}"),
        # A bar: three or more short parts between separators, with no sentence in it.
        ("navigation", r"[^.?!|»>›]{1,50}(\s*[|»>›]\s*[^.?!|»>›]{1,60}){2,12}"),
        ("mark", r"[\W\d_]*"),
    )
)

_LONG = 320


def boilerplate_reason(line: str) -> str:
    """Why `line` (one line of a page, marks trimmed) is page furniture, or an empty string when it is text.

    Reasons: share line, comments, cookie notice, advertisement, loading notice, newsletter, related links, caption, byline,
    legal line, navigation, mark (no letter at all).
    """
    if len(line) > _LONG:
        return ""
    for reason, pattern in _WHOLE_LINE:
        if pattern.fullmatch(line):
            return reason
    return ""
