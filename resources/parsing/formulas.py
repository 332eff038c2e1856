"""Formulas as LaTeX: from MathML (web pages, JATS) and from Office Math (Word, PowerPoint).

Structure becomes LaTeX; symbols stay the Unicode characters they are, so that α is found as α. Elements that are not
known are read through, so that no symbol is lost. Not here: where formulas stand in a document.
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

# Deeper than any formula; libxml2 itself stops at 256.
_MAX_DEPTH = 100
# Function application, invisible times, separator and plus.
_INVISIBLE = re.compile("[\u2061-\u2064]")

Element: TypeAlias = Any
Convert: TypeAlias = Callable[[Element, int], str]


def local_name(element: Element) -> str:
    """Return an element's name without its namespace; of comments and the like, nothing."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def mathml_to_latex(math: Element) -> str:
    """Return a MathML element as LaTeX, without delimiters. TeX that the element itself carries is preferred."""
    for element in math.iter():
        if local_name(element) == "annotation" and "tex" in (element.get("encoding") or "").lower():
            return _spaced("".join(element.itertext()))
    if alternative := math.get("alttext"):
        return _spaced(alternative)
    return _spaced(_mathml(math, 0))


def omml_to_latex(math: Element) -> str:
    """Return an Office Math element (m:oMath) as LaTeX, without delimiters."""
    return _spaced(_omml(math, 0))


def _spaced(latex: str) -> str:
    return " ".join(_INVISIBLE.sub(" ", latex).split())


def _children(element: Element) -> list[Element]:
    return [child for child in element if local_name(child)]


def _mathml(element: Element, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return "".join(element.itertext())
    name, children = local_name(element), _children(element)

    def part(index: int) -> str:
        return _mathml(children[index], depth + 1) if index < len(children) else ""

    def every(separator: str = "") -> str:
        return separator.join(_mathml(child, depth + 1) for child in children)

    match name:
        case "mi" | "mn" | "mo" | "ms" | "mtext":
            return _symbol("".join(element.itertext()), name)
        case "mfrac":
            return f"\\frac{{{part(0)}}}{{{part(1)}}}"
        case "msqrt":
            return f"\\sqrt{{{every()}}}"
        case "mroot":
            return f"\\sqrt[{part(1)}]{{{part(0)}}}"
        case "msup" | "mover":
            return f"{_group(part(0))}^{{{part(1)}}}"
        case "msub" | "munder":
            return f"{_group(part(0))}_{{{part(1)}}}"
        case "msubsup" | "munderover":
            return f"{_group(part(0))}_{{{part(1)}}}^{{{part(2)}}}"
        case "mfenced":
            inside = (element.get("separators") or ",")[:1].join(_mathml(child, depth + 1) for child in children)
            return f"{element.get('open') or '('}{inside}{element.get('close') or ')'}"
        case "mtable":
            return _matrix([_mathml(child, depth + 1) for child in children])
        case "mtr" | "mlabeledtr":
            return every(" & ")
        case "semantics":
            return part(0)
        case "annotation" | "annotation-xml" | "mspace" | "mphantom":
            return " "
    return every() if children else (element.text or "")


def _symbol(text: str, kind: str) -> str:
    text = text.strip()
    # A name of several letters is a word: it must not run into its neighbours.
    return f" {text} " if len(text) > 1 and kind != "mn" else text


def _matrix(rows: list[str]) -> str:
    return "\\begin{matrix} " + " \\\\ ".join(rows) + " \\end{matrix}"


def _group(base: str) -> str:
    base = base.strip()
    return base if len(base) <= 1 else f"{{{base}}}"


_ACCENTS = {
    **{"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "overline", "\u0307": "dot", "\u0308": "ddot"},
    **{"\u20d7": "vec", "\u030c": "check", "\u0306": "breve"},
}


def _omml(element: Element, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return "".join(element.itertext())
    name, children = local_name(element), _children(element)

    def part(of: str) -> str:
        return "".join(_omml(child, depth + 1) for child in children if local_name(child) == of)

    def each(of: str) -> list[str]:
        return [_omml(child, depth + 1) for child in children if local_name(child) == of]

    match name:
        case "t":
            return element.text or ""
        case "f":
            return f"\\frac{{{part('num')}}}{{{part('den')}}}"
        case "sSup" | "limUpp":
            return f"{_group(part('e'))}^{{{part('sup') or part('lim')}}}"
        case "sSub" | "limLow":
            return f"{_group(part('e'))}_{{{part('sub') or part('lim')}}}"
        case "sSubSup":
            return f"{_group(part('e'))}_{{{part('sub')}}}^{{{part('sup')}}}"
        case "sPre":
            return f"{{}}_{{{part('sub')}}}^{{{part('sup')}}}{part('e')}"
        case "rad":
            degree = part("deg").strip()
            return "\\sqrt" + (f"[{degree}]" if degree else "") + f"{{{part('e')}}}"
        case "nary":
            sub, sup = part("sub").strip(), part("sup").strip()
            limits = (f"_{{{sub}}}" if sub else "") + (f"^{{{sup}}}" if sup else "")
            return f"{_property(element, 'chr', '∫')}{limits} {part('e')}"
        case "d":
            inside = _property(element, "sepChr", "|").join(each("e"))
            return f"{_property(element, 'begChr', '(')}{inside}{_property(element, 'endChr', ')')}"
        case "m" | "eqArr":
            rows = each("mr") if name == "m" else each("e")
            return _matrix(rows)
        case "mr":
            return " & ".join(each("e"))
        case "func":
            return f"{part('fName')} {part('e')}"
        case "acc":
            accent = _ACCENTS.get(_property(element, "chr", "\u0302"), "hat")
            return f"\\{accent}{{{part('e')}}}"
        case "bar":
            return f"\\overline{{{part('e')}}}"
    return "".join(_omml(child, depth + 1) for child in children if not local_name(child).endswith("Pr"))


def _property(element: Element, name: str, default: str) -> str:
    """Return the value of a property such as m:naryPr/m:chr/@m:val."""
    for child in element:
        if local_name(child).endswith("Pr"):
            for one in child:
                if local_name(one) == name:
                    return next((value for key, value in one.attrib.items() if key.endswith("}val")), default)
    return default
