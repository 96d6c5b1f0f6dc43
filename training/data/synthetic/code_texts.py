"""Making code, commands and queries, with the quotes, backslashes and line breaks that have to be kept."""

from __future__ import annotations

from . import words as w
from .draw import Draw
from .kinds import STRING, Copy, Kind, Said


def code_text(draw: Draw) -> str:
    """A short piece of code, a command or a query."""
    a, b = draw.pick(w.NOUNS), draw.pick(w.NOUNS)
    number = draw.between(1, 99)
    table, column = draw.pick(w.TABLES), draw.pick(w.COLUMNS)
    return draw.pick(
        (
            f"print({a} + {b})",
            f"def {a}(x): return x * {number}",
            f"SELECT {column} FROM {table} WHERE id = {number}",
            f"for i in range({number}): {a}(i)",
            f"git checkout -b {a}-{b}",
            f"ls -la /{a}/{b}",
            f"const {a} = {number};",
            f'{a}[{number}] = "{b}"',
            f"DELETE FROM {table} WHERE {column} > {number}",
            f"pip install {a}{number}",
            f"if {a} > {number}:\n    {b}()",
            f'<div class="{a}">{b}</div>',
            f"return {a}.{b}({number})",
            f"echo $HOME/{a}",
        )
    )


def command(draw: Draw) -> str:
    """A shell command."""
    a, b = draw.pick(w.NOUNS), draw.pick(w.NOUNS)
    return draw.pick(
        (
            f"ls -la /{a}",
            f'grep -rn "{a}" {b}/',
            f"git commit -m '{a} {b}'",
            f"docker run -p {draw.between(1000, 9999)}:80 {a}",
            f"find . -name '*.{draw.pick(('py', 'txt', 'md'))}'",
            f"mkdir -p {a}/{b}",
            f"tail -n {draw.between(5, 200)} /var/log/{a}.log",
            f"curl http://localhost:{draw.between(1000, 9999)}/{a}",
            f"python {a}.py --{b} {draw.between(1, 99)}",
            f"rm -rf /tmp/{a}",
            f"chmod 755 {a}.sh",
            f"tar -xzf {a}.tar.gz",
            f'echo "{a} {b}" > {b}.txt',
            "df -h",
            "npm install",
            f"kill -9 {draw.between(100, 9999)}",
        )
    )


def program_kind(draw: Draw, _: str) -> Kind:
    """Code, at times of several lines, in a fence or in backquotes; it must be kept as it is."""

    def sample(d: Draw) -> Said:
        a, b, c = d.pick(w.NOUNS), d.pick(w.NOUNS), d.pick(w.NOUNS)
        n, m = d.between(1, 99), d.between(2, 20)
        text = d.pick(
            (
                f"for {a} in range({n}):\n    print({a})",
                f"def {a}({b}):\n    return {b} * {m}\n\nprint({a}({n}))",
                f"import math\nprint(math.sqrt({n}))",
                f"{a} = [{n}, {m}, 3]\nprint(sum({a}))",
                f'print("{a}: {b}")',
                f"with open('{a}.txt') as {b}:\n    print({b}.read())",
                f'{a} = {{"{b}": {n}}}\nprint({a}["{b}"])',
                f"print({n} ** {m})",
                f"if {n} > {m}:\n\tprint('{a}')\nelse:\n\tprint('{b}')",
                f"function {a}({b}) {{\n  return {b} + {n};\n}}",
                f"class {a.title()}:\n    {b} = {n}\n\n    def {c}(self):\n        return self.{b}",
                f'x = "{a}\\n{b}"\nprint(x)',
                f"{a} = {n} + {m}\n# {b} {c}\nprint({a})",
                f"print('{a}'.replace('{a[0]}', '{b[0]}'))",
            )
        )
        before, after = d.pick((("\n```\n", "\n```\n"), ("\n```python\n", "\n```\n"), ("`", "`")))
        return text, [before, Copy("", text), after]

    return Kind(STRING, sample)
