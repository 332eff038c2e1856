"""Which language a text is in, by CLD2, from a sample of it. What to make of that is not decided here."""

_SAMPLE = 4096
_PARTS = 4
_LEAST_PERCENT = 50


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language that most of a text is in; None when it cannot be told.

    A long text is judged by four pieces of it, so that neither a foreign preface nor a bibliography decides.
    """
    import pycld2

    if len(text) > _SAMPLE:
        step = len(text) // _PARTS
        text = " ".join(text[place * step : place * step + _SAMPLE // _PARTS] for place in range(_PARTS))
    sample = "".join(character if character.isprintable() else " " for character in text)
    try:
        reliable, _, details = pycld2.detect(sample, isPlainText=True)
    except pycld2.error:
        return None
    _, code, percent, _ = details[0]
    return code.partition("-")[0] if reliable and percent >= _LEAST_PERCENT and code != "un" else None
