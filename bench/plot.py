"""The results as an SVG picture: ratios against their goals, memory against its bound."""
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
