"""Making strings: names, addresses, paths, titles, sentences, formulas, high in entropy."""

from __future__ import annotations

from . import words as w
from .draw import Draw


def pseudo_word(draw: Draw) -> str:
    """A word that exists nowhere."""
    return "".join(draw.pick(w.SYLLABLES) for _ in range(draw.between(2, 3)))


def person(draw: Draw) -> str:
    """A person's name, mostly in Latin script."""
    roll = draw.random()
    if roll < 0.3:
        return draw.pick(w.FIRST_NAMES)
    if roll < 0.36:
        return draw.pick(w.UNICODE_NAMES)
    if roll < 0.39:
        initial = draw.pick("ABCDEFGHJKLMNPRSTW")
        return draw.pick(
            (
                f"Dr. {draw.pick(w.LAST_NAMES)}",
                f"{initial}. {draw.pick(w.LAST_NAMES)}",
                f"{draw.pick(w.FIRST_NAMES)} {initial}. {draw.pick(w.LAST_NAMES)}",
                f"{draw.pick(w.FIRST_NAMES)} {draw.pick(w.LAST_NAMES)} Jr.",
            )
        )
    if roll < 0.5:
        return f"{draw.pick(w.FIRST_NAMES)} {pseudo_word(draw).title()}"
    return f"{draw.pick(w.FIRST_NAMES)} {draw.pick(w.LAST_NAMES)}"


def city(draw: Draw) -> str:
    """A city's name, sometimes in its own script, sometimes of no city."""
    if draw.chance(0.2):
        return draw.pick(
            ("{}", "Port {}", "{}ville", "San {}", "New {}", "{} City", "{}burg", "{} Springs")
        ).format(pseudo_word(draw).title())
    return draw.pick(w.UNICODE_CITIES) if draw.chance(0.05) else draw.pick(w.CITIES)


def email(draw: Draw) -> str:
    """A made-up address."""
    name = draw.pick(w.FIRST_NAMES).lower()
    last = "".join(
        letter for letter in draw.pick(w.LAST_NAMES).lower() if letter.isascii() and letter.isalpha()
    )
    local = draw.pick(
        (name, f"{name}.{last}", f"{name[0]}{last}", f"{name}{draw.between(1, 99)}", f"{name}_{last}")
    )
    host = draw.pick(
        (
            "example.com",
            "mail.com",
            "example.org",
            f"{draw.pick(w.NOUNS)}.io",
            f"{pseudo_word(draw)}.com",
            f"{draw.pick(w.ADJECTIVES)}{draw.pick(w.NOUNS)}.net",
            "uni.edu",
            "company.co.uk",
        )
    )
    return f"{local}@{host}"


def url(draw: Draw) -> str:
    """A made-up address on the web."""
    host = (
        f"{draw.pick(('www.', '', 'api.', 'docs.'))}{draw.pick(w.NOUNS)}{draw.pick(('', pseudo_word(draw)))}"
    )
    path = "/".join(draw.pick(w.NOUNS) for _ in range(draw.between(0, 2)))
    query = f"?id={draw.between(1, 999)}" if draw.chance(0.2) else ""
    scheme, ending = (
        draw.pick(("https://", "https://", "http://")),
        draw.pick(("com", "org", "io", "net", "dev")),
    )
    return f"{scheme}{host}.{ending}/{path}{query}".rstrip("/")


def file_path(draw: Draw) -> str:
    """A path in Unix or Windows spelling, or a bare file name."""
    name = draw.pick(
        (
            draw.pick(w.NOUNS),
            f"{draw.pick(w.ADJECTIVES)}_{draw.pick(w.NOUNS)}",
            f"{draw.pick(w.NOUNS)}{draw.between(1, 99)}",
        )
    )
    ending = draw.pick(
        ("txt", "csv", "json", "py", "pdf", "md", "png", "log", "xlsx", "yaml", "mp4", "docx", "zip")
    )
    roll = draw.random()
    if roll < 0.4:
        return f"{name}.{ending}"
    folders = [draw.pick(w.NOUNS) for _ in range(draw.between(1, 3))]
    if roll < 0.5:
        return "C:\\" + "\\".join([*folders, f"{name}.{ending}"])
    root = draw.pick(("/home/", "/var/", "/data/", "/", "~/", "./", ""))
    return root + "/".join([*folders, f"{name}.{ending}"])


def phone(draw: Draw) -> str:
    """A phone number in one of some spellings."""
    a, b, c = draw.between(200, 989), draw.between(200, 989), draw.between(0, 9999)
    return draw.pick(
        (
            f"{a}-{b}-{c:04d}",
            f"({a}) {b}-{c:04d}",
            f"+1 {a} {b} {c:04d}",
            f"+{draw.between(30, 99)}{a}{b}{c:04d}",
            f"0{a} {b}{c:04d}",
            f"555-{c:04d}",
        )
    )


def message_text(draw: Draw) -> str:
    """A short message somebody may send or save."""
    roll = draw.random()
    if roll < 0.12:
        return draw.pick(w.UNICODE_TEXTS)
    if roll < 0.4:
        text = draw.pick(w.MESSAGES)
        return text[0].upper() + text[1:] + draw.pick(("", "", ".", "!"))
    if roll < 0.6:
        link = draw.pick(("before", "after", "during", "and then"))
        return f"{draw.pick(w.TASKS)} {link} {draw.pick(w.MEETINGS)}"
    if roll < 0.8:
        return f"The {draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)} is {draw.pick(w.ADJECTIVES)}"
    verb = draw.pick(("wants", "needs", "likes", "found", "lost"))
    return f"{person(draw)} {verb} the {draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}"


def title_text(draw: Draw) -> str:
    """A title of a document, note or project."""
    roll = draw.random()
    if roll < 0.4:
        return f"{draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}".title()
    if roll < 0.6:
        return draw.pick(w.MEETINGS)
    if roll < 0.8:
        return f"{draw.pick(w.NOUNS)} {draw.pick(w.NOUNS)} {draw.between(1, 2030)}".title()
    return f"{draw.pick(('Notes', 'Report', 'Thoughts', 'Guide', 'Lecture'))} on {draw.pick(w.TOPICS)}"


def formula(draw: Draw) -> str:
    """An expression in x, in one of the usual notations."""
    a, b, c = draw.between(2, 12), draw.between(1, 12), draw.between(1, 20)
    power = draw.pick(("^", "**"))
    sign = draw.pick("+-")
    return draw.pick(
        (
            f"x{power}{draw.between(2, 5)}",
            f"{a}x{power}2 {sign} {b}x",
            f"{a}*x{power}2 {sign} {b}*x + {c}",
            f"x{power}2 {sign} {b}x + {c}",
            f"sin(x) {sign} {a}",
            f"{a}x{power}3 {sign} {b}x",
            f"cos({a}*x)",
            f"e^(-{a}x)",
            f"({a}x {sign} {b})/({c}x)",
            f"log(x) {sign} x{power}2",
            f"x{power}3",
            f"sqrt(x {sign} {c})",
        )
    )


def any_word(draw: Draw) -> str:
    """One or two words that mean nothing in particular."""
    roll = draw.random()
    if roll < 0.35:
        return pseudo_word(draw)
    if roll < 0.6:
        return f"{draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}"
    if roll < 0.75:
        return draw.pick(w.NOUNS)
    if roll < 0.9:
        return f"{draw.pick(w.ADJECTIVES)} {draw.pick(w.NOUNS)}".title()
    return pseudo_word(draw).title()
