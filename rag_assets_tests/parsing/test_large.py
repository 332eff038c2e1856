"""A document of 100 MB stays within 1 GB, this process and the worker together."""

import json
import subprocess
import sys

import pytest

LIMIT = 1 << 30
SIZE = 100_000_000

PARSE = """
import json, resource, sys
from resources.parsing.base import RawDocument
from resources.parsing.pool import parser_pool
from resources.parsing.settings import ParsingSettings

def text(line):
    return (line * (SIZE // len(line) + 1))[:SIZE]

def pdf(pages):
    picture = b"\\x80" * (SIZE // pages)
    parts = [b"%PDF-1.4\\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\\n"]
    parts.append(b"3 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\\n")
    kids = []
    for page in range(pages):
        number = 10 + 3 * page
        shown = b"BT /F 12 Tf 72 720 Td (Page %d of a large document) Tj ET" % page
        parts.append(b"%d 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R"
                     b"/Resources<</Font<</F 3 0 R>>/XObject<</I %d 0 R>>>>>>endobj\\n"
                     % (number, number + 1, number + 2))
        parts.append(b"%d 0 obj<</Length %d>>stream\\n%s\\nendstream endobj\\n" % (number + 1, len(shown), shown))
        parts.append(b"%d 0 obj<</Type/XObject/Subtype/Image/Width 1000/Height %d/BitsPerComponent 8"
                     b"/ColorSpace/DeviceGray/Length %d>>stream\\n" % (number + 2, len(picture) // 1000, len(picture)))
        parts.append(picture + b"\\nendstream endobj\\n")
        kids.append(b"%d 0 R" % number)
    parts.append(b"2 0 obj<</Type/Pages/Count %d/Kids[%s]>>endobj\\n" % (pages, b" ".join(kids)))
    parts.append(b"trailer<</Root 1 0 R>>")
    return b"".join(parts)

SIZE = SIZE_HERE
data = DATA_HERE
with parser_pool(ParsingSettings(workers=1, memory_mb=700, in_flight_mb=128)) as pool:
    (outcome,) = pool.parse(iter([RawDocument("large", "1", "TYPE_HERE", data)]))
    # Not ru_maxrss: that is inherited from the test process, whatever it has loaded.
    ours = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
theirs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"status": outcome.status, "reason": outcome.reason, "characters": len(outcome.text), "ours": ours,
                  "theirs": theirs, "tail": outcome.text[-40:]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("media_type", "data", "characters"),
    [
        ("text/plain", "text(b'A line of plain text that is repeated.\\n')", SIZE),
        ("text/plain", "text('Ein Satz mit Umlauten: ä, ö, ü.\\n'.encode())", SIZE * 32 // 35),
        ("application/pdf", "pdf(200)", 200 * 30),
    ],
)
def test_a_hundred_megabytes_within_a_gigabyte(media_type: str, data: str, characters: int):
    script = PARSE.replace("SIZE_HERE", str(SIZE)).replace("DATA_HERE", data).replace("TYPE_HERE", media_type)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["status"] in ("ok", "partial"), found
    assert found["characters"] == pytest.approx(characters, rel=0.1), found
    assert found["ours"] + found["theirs"] < LIMIT, found
