"""Mail: subject, sender, date, and the text of its body; attachments are named, not read."""

import email
import email.policy
from email.message import EmailMessage

from resources.parsing.base import JSON, Content, ParseError
from resources.parsing.html import parse_page
from resources.parsing.markup import to_markdown
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.writing import tidy

_HEADERS = {"From": "author", "To": "to", "Cc": "cc", "Message-ID": "message_id"}
_MAX_PARTS = 1000


@parser("message/rfc822", extensions=(".eml",), version=1, libraries=("selectolax",))
def read_mail(data: bytes, settings: ParsingSettings) -> Content:
    """Return the plain text of the message, else its HTML as Markdown."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise ParseError("damaged: it has no mail headers")
    metadata: dict[str, JSON] = {}
    for header, key in _HEADERS.items():
        if value := _header(message, header):
            metadata[key] = value
    date = message["Date"]
    if date is not None and getattr(date, "datetime", None) is not None:
        metadata["date"] = date.datetime.isoformat()
    plain, html, attachments = _bodies(message)
    if attachments:
        metadata["attachments"] = list(attachments)
    text = plain if plain.strip() else html
    return Content(tidy(text), _header(message, "Subject"), metadata, empty="the message has no text")


def _header(message: EmailMessage, name: str) -> str | None:
    try:
        return " ".join(str(message[name] or "").split()) or None
    except Exception:  # noqa: BLE001  (the standard library raises many things for malformed headers)
        return None


def _bodies(message: EmailMessage) -> tuple[str, str, list[str]]:
    """Return the plain texts, the HTML as Markdown, and the names of attachments."""
    plain, html, attachments = [], [], []
    for number, part in enumerate(message.walk()):
        if number > _MAX_PARTS:
            break
        if part.is_multipart():
            continue
        name = part.get_filename()
        if name or part.get_content_disposition() == "attachment":
            attachments.append(name or part.get_content_type())
        elif part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True)
            content = payload.decode(_charset(part), "replace") if isinstance(payload, bytes) else ""
            if part.get_content_type() == "text/html":
                body = parse_page(content).body
                html.append(to_markdown(body) if body is not None else "")
            else:
                plain.append(content.replace("\r\n", "\n"))
    return "\n\n".join(plain), "\n\n".join(html), attachments


def _charset(part: object) -> str:
    charset = getattr(part, "get_content_charset", lambda: None)() or "utf-8"
    try:
        "".encode(charset)
    except LookupError:
        return "latin-1"
    return str(charset)
