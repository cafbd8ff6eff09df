"""Text of strangers, such as names, descriptions and error messages, inside Markdown."""

import re

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def escape_markdown(text: str) -> str:
    """The text as it stands, for ``st.write``, ``st.markdown``, captions, labels, toasts and the like.

    CommonMark lets every ASCII punctuation character be escaped: no emphasis, link, image, colour, formula or HTML is
    left. Line breaks become spaces, so that no list or heading begins.
    """
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))
