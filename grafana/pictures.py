"""Pictures of the dashboards from live data: `pictures.py PROMETHEUS FOLDER` writes a PNG of each into the folder.

    GEODYNAMO_PICTURES=grafana/pictures pytest tests/sdk/test_dashboards.py -k pictures

starts regions, a load and a Prometheus, calls this, and so makes those that are kept.

What Prometheus answers to the panels' own queries is drawn by drawing.py, in headless Chromium; no Grafana is involved. A PNG has at
most 200 KB: its colours are the 256 that it has most of.
"""

import json
import struct
import sys
import time
import urllib.parse
import urllib.request
import zlib
from collections import Counter
from pathlib import Path

import drawing
from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
SPAN_S, STEP_S = 120, 2
VARIABLES = {"$__rate_interval": "15s", "$region": ".*", "$peer": ".*", "$operation": ".*", "$table": ".*"}
PNG_BYTES_MAX = 200_000
HEIGHT_MAX = 1500


def main():
    prometheus, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for path in sorted(Path(__file__).with_name("dashboards").glob("*.json")):
            dashboard = drawing.read(path)
            answers = drawing.answers_of(dashboard, lambda query, instant: ask(prometheus, query, instant), VARIABLES)
            page, (width, height) = drawing.page(dashboard, answers)
            window = browser.new_page(viewport={"width": width, "height": min(height, HEIGHT_MAX)})
            window.set_content(page)
            picture = fewer_colours(window.screenshot())
            window.close()
            if len(picture) > PNG_BYTES_MAX:
                sys.exit(f"{path.stem}: the picture has {len(picture)} bytes")
            (folder / f"{path.stem}.png").write_bytes(picture)
            print(f"{path.stem}.png: {len(picture)} bytes")
        browser.close()


def ask(prometheus, query, instant):
    now = time.time()
    parameters = {"query": query, "time": now} if instant else {"query": query, "start": now - SPAN_S, "end": now, "step": STEP_S}
    url = f"{prometheus}/api/v1/{'query' if instant else 'query_range'}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)["data"]["result"]


def fewer_colours(png):
    """A PNG of true colours with a palette of 256, each pixel in the nearest of the colours that are most frequent."""
    width, height, channels, rows = pixels(png)
    counts = Counter()
    lines = []
    for row in rows:
        line = [tuple(row[at : at + 3]) for at in range(0, len(row), channels)]
        counts.update(line)
        lines.append(line)
    palette = [colour for colour, _ in counts.most_common(256)]
    place = {colour: number for number, colour in enumerate(palette)}
    for colour in counts:
        if colour not in place:
            place[colour] = min(range(len(palette)), key=lambda at: sum((a - b) ** 2 for a, b in zip(palette[at], colour)))
    raw = b"".join(b"\0" + bytes(place[colour] for colour in line) for line in lines)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", bytes(part for colour in palette for part in colour)), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pixels(png):
    """Width, height, channels and the unfiltered rows of a PNG of 8 bits a channel, not interlaced, as Chromium makes them."""
    at, data = 8, b""
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        if name == b"IHDR":
            width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", body)
        elif name == b"IDAT":
            data += body
        at += 12 + length
    assert depth == 8 and kind in (2, 6) and not interlaced
    channels = 3 if kind == 2 else 4
    return width, height, channels, unfiltered(zlib.decompress(data), width * channels, height, channels)


def unfiltered(data, stride, height, channels):
    rows, above = [], bytes(stride)
    for number in range(height):
        start = number * (stride + 1)
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        for at in range(stride):
            left = row[at - channels] if at >= channels else 0
            corner = above[at - channels] if at >= channels else 0
            up = above[at]
            match kind:
                case 1:
                    row[at] = (row[at] + left) & 255
                case 2:
                    row[at] = (row[at] + up) & 255
                case 3:
                    row[at] = (row[at] + (left + up) // 2) & 255
                case 4:
                    row[at] = (row[at] + nearest(left, up, corner)) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return rows


def nearest(left, up, corner):
    """PNG's predictor of Paeth."""
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


if __name__ == "__main__":
    main()
