"""Text of strangers, such as names, descriptions and error messages, inside Markdown."""

import re

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_ADDRESS = re.compile(r"https?:(?=//)|www(?=\.)", re.IGNORECASE)
_WORD_JOINER = "\u2060"


def escape_markdown(text: str) -> str:
    """The text as it stands, for ``st.write``, ``st.markdown``, captions, labels, toasts and the like.

    CommonMark lets every ASCII punctuation character be escaped: no emphasis, link, image, colour, formula or HTML is
    left. Line breaks become spaces, so that no list or heading begins. Streamlit makes links of addresses even then
    (measured), so each gets a character of no width.
    """
    whole = _ADDRESS.sub(lambda found: found[0] + _WORD_JOINER, " ".join(text.split()))
    return _PUNCTUATION.sub(r"\\\1", whole)
