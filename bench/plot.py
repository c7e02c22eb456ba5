"""The results as SVG pictures: ratios against their goals, memory against its bound, growth."""
import math
import statistics
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, TOP = 900, 400, 90, 46, 76
INK, FAINT, GOOD, BAD, PLAIN = "#222222", "#888888", "#2a7f62", "#b3392f", "#5b7aa6"


class Picture:
    def __init__(self, height):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>']

    def text(self, x, y, text, anchor="start", color=INK, size=13):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"'
                          f' font-size="{size}">{escape(text)}</text>')

    def bar(self, x, y, width, height, color):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}"'
                          f' height="{height:.1f}" fill="{color}"/>')

    def line(self, x, top, bottom, color, dashes="none"):
        self.parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"'
                          f' stroke="{color}" stroke-width="1.5" stroke-dasharray="{dashes}"/>')

    def dot(self, x, y):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="white"'
                          f' stroke="{INK}"/>')

    def curve(self, points, color):
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{joined}" fill="none" stroke="{color}"'
                          ' stroke-width="2"/>')
        for x, y in points:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>')

    def level(self, y, left, right, color, dashes="none"):
        self.parts.append(f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"'
                          f' stroke="{color}" stroke-dasharray="{dashes}"/>')

    def done(self):
        return "\n".join(self.parts + ["</svg>", ""])


def color_of(figure):
    return {None: PLAIN, True: GOOD, False: BAD}[figure.is_met]


def rounds_of(figure):
    """The value of each round alone: the spread behind the median."""
    if figure.others:
        return [ours / other for ours, other in zip(figure.ours, figure.others)]
    return figure.ours


def panel(picture, top, title, figures, unit):
    """One group of bars on a common scale."""
    most = max(max([figure.value, figure.must or 0, *rounds_of(figure)]) for figure in figures)
    scale = (WIDTH - LEFT - RIGHT) / (most * 1.05)
    picture.text(20, top - 12, title, size=14)
    for index, figure in enumerate(figures):
        y = top + index * ROW
        picture.text(20, y + 15, figure.what)
        if figure.others:
            picture.text(20, y + 31, f"against {figure.other_name}: "
                         f"{statistics.median(figure.ours):.2f} and "
                         f"{statistics.median(figure.others):.2f} {figure.unit}",
                         color=FAINT, size=11)
        picture.bar(LEFT, y + 5, figure.value * scale, 24, color_of(figure))
        for value in rounds_of(figure):
            picture.dot(LEFT + value * scale, y + 17)
        if figure.must is not None:
            picture.line(LEFT + figure.must * scale, y + 1, y + 33, INK, "4 2")
        picture.text(WIDTH - 16, y + 22, f"{figure.value:.2f}{unit}", "end", size=15)
    bottom = top + len(figures) * ROW
    if unit == " ×":
        picture.line(LEFT + scale, top, bottom, FAINT)
        picture.text(LEFT + scale, bottom + 12, "equal", "middle", FAINT, 11)
    return bottom


def draw(figures, facts):
    ratios = [figure for figure in figures if figure.others]
    sizes = [figure for figure in figures if not figure.others]
    height = TOP + ROW * len(figures) + 70 * bool(ratios and sizes) + 60
    picture = Picture(height)
    picture.text(20, 28, "trunkline, side by side in one run", size=18)
    y = TOP
    if ratios:
        y = panel(picture, y, "time, as a multiple of the other's: shorter is better", ratios,
                  " ×") + 60
    if sizes:
        y = panel(picture, y, "memory of the engine", sizes, " MiB") + 40
    picture.text(20, height - 14, f"{facts['date']}, {facts['postgresql']}, "
                 f"{facts['processors']} processors ({facts['processor']}); dashed: must reach;"
                 " circles: single rounds", color=FAINT, size=11)
    return picture.done()


# --- growth ---

GRAPH_TOP, GRAPH_HEIGHT, GRAPH_WIDTH = 84, 240, 360


class Graph:
    """One set of axes; a logarithmic one spans whole decades."""

    def __init__(self, picture, left, xs, most, lowest, title):
        self.picture, self.left = picture, left
        self.is_wide = max(xs) / min(xs) > 20
        self.first, self.last = min(xs), max(xs)
        self.is_steep = lowest is not None
        self.low = 10 ** math.floor(math.log10(lowest)) if self.is_steep else 0
        self.high = 10 ** math.ceil(math.log10(most)) if self.is_steep else most * 1.1
        picture.text(left, GRAPH_TOP - 16, title, size=14)
        picture.level(GRAPH_TOP + GRAPH_HEIGHT, left, left + GRAPH_WIDTH, INK)
        for x in xs:
            picture.text(self.x(x), GRAPH_TOP + GRAPH_HEIGHT + 18, short(x), "middle", FAINT, 11)
        for y in self.marks():
            picture.level(self.y(y), left, left + GRAPH_WIDTH, "#dddddd")
            picture.text(left - 6, self.y(y) + 4, f"{y:g}", "end", FAINT, 11)

    def marks(self):
        if self.is_steep:
            return [self.low * 10 ** i for i in range(round(math.log10(self.high / self.low)) + 1)]
        step = 10 ** math.floor(math.log10(self.high))
        step = next(part for part in (step, step / 2, step / 5) if self.high / part >= 3)
        return [step * i for i in range(int(self.high / step) + 1)]

    def x(self, value):
        share = (math.log(value / self.first) / math.log(self.last / self.first) if self.is_wide
                 else (value - self.first) / (self.last - self.first))
        return self.left + 14 + share * (GRAPH_WIDTH - 28)

    def y(self, value):
        share = (math.log(value / self.low) / math.log(self.high / self.low) if self.is_steep
                 else value / self.high)
        return GRAPH_TOP + GRAPH_HEIGHT * (1 - share)

    def curve(self, xs, ys, color):
        self.picture.curve([(self.x(x), self.y(y)) for x, y in zip(xs, ys)], color)


def short(value):
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def draw_growth(sweep, facts):
    """Left the seconds of each contender, right the engine's peak memory."""
    picture = Picture(GRAPH_TOP + GRAPH_HEIGHT + 84)
    picture.text(20, 28, sweep.title, size=18)
    picture.text(20, 46, sweep.note, color=FAINT, size=11)
    seconds = {name: sweep.seconds(name) for name in sweep.runs}
    flat = [value for values in seconds.values() for value in values]
    is_steep = max(flat) / min(flat) > 20
    graph = Graph(picture, 60, sweep.values, max(flat), min(flat) if is_steep else None, "seconds")
    for (name, values), color in zip(seconds.items(), (GOOD, PLAIN)):
        graph.curve(sweep.values, values, color)
    for index, (name, color) in enumerate(zip(seconds, (GOOD, PLAIN))):
        picture.text(150 + 110 * index, GRAPH_TOP - 16, name, color=color)
    peaks = sweep.mebibytes()
    graph = Graph(picture, 510, sweep.values, max(peaks), None, "peak memory of the engine, MiB")
    graph.curve(sweep.values, peaks, GOOD)
    for left in (60, 510):
        picture.text(left + GRAPH_WIDTH / 2, GRAPH_TOP + GRAPH_HEIGHT + 36, sweep.axis, "middle",
                     size=12)
    picture.text(20, GRAPH_TOP + GRAPH_HEIGHT + 68, f"{facts['date']}, {facts['postgresql']}, "
                 f"{facts['processors']} processors ({facts['processor']}); medians",
                 color=FAINT, size=11)
    return picture.done()
