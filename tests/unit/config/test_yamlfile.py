"""YAML without its surprises: what other readers guess at is an error with a position."""

from __future__ import annotations

import pytest

from orchestrator.config.problems import Position
from orchestrator.config.yamlfile import parse_document, read_document
from orchestrator.errors import InputError


def problems_of(text: str) -> list[str]:
    return [str(problem) for problem in sorted(parse_document(text, "f", InputError).problems)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: no\n", ["f:1:4: a: no is read as false by some YAML readers: write false, or quote it as 'no'"]),
        ("a: [x, On]\n", ["f:1:8: a[1]: On is read as true by some YAML readers: write true, or quote it as 'On'"]),
        ("a: 12:30\n", ["f:1:4: a: 12:30 is read as a number to base 60 by some YAML readers: quote it as '12:30'"]),
        (
            "a: 017\n",
            [
                (
                    "f:1:4: a: 017 is read as an octal number by some YAML readers:"
                    " drop the leading zero, or quote it as '017'"
                )
            ],
        ),
        ("a: 0x1f\n", ["f:1:4: a: 0x1f is not a plain decimal number: write it as one, or quote it as '0x1f'"]),
        ("a: .nan\n", ["f:1:4: a: .nan is not a usable number: quote it as '.nan' if text is meant"]),
        ("a: 1\nb: 2\na: 3\n", ["f:3:1: duplicate key 'a' (first on line 1)"]),
        ("x:\n  a: 1\n  a: 3\n", ["f:3:3: x: duplicate key 'a' (first on line 2)"]),
        ("no: 1\n", ["f:1:1: no is read as false by some YAML readers: write false, or quote it as 'no'"]),
        ("? [1]\n: 2\n", ["f:1:3: a key must be a plain name"]),
        ("~: 2\n", ["f:1:1: a key must be a name, not ~"]),
        ("b: &b {x: 1}\na:\n  <<: *b\n", ["f:3:3: a: merge keys (<<) are not supported: write the keys out"]),
        (
            "a: !!python/object:os.system x\n",
            [
                (
                    "f:1:4: tags such as 'tag:yaml.org,2002:python/object:os.system' are not allowed:"
                    " values are plain text, numbers, lists and mappings"
                )
            ],
        ),
    ],
)
def test_a_trap_is_named_with_its_place(text, expected):
    """Each row is a value that two YAML readers read differently, or a construct that hides what is meant."""
    assert problems_of(text) == expected


def test_plain_values_are_what_they_look_like():
    """Quoted traps are text, dates stay text, and numbers are numbers."""
    text = "a: 'no'\nb: 12\nc: 1.5\nd: true\ne: 2026-11-22\nf: null\ng: [x, \"017\"]\nh: |\n  on\n"
    document = parse_document(text, "f", InputError)
    expected = {"a": "no", "b": 12, "c": 1.5, "d": True, "e": "2026-11-22", "f": None, "g": ("x", "017"), "h": "on\n"}
    assert document.value == expected
    assert document.problems == []


def test_positions_point_at_values_and_keys():
    """Editors jump to line and column, both from 1."""
    document = parse_document("a:\n  b: [1, 22]\n", "f", InputError)
    assert document.position(("a", "b", 1)) == Position(2, 10)
    assert document.position(("a", "b"), of_key=True) == Position(2, 3)
    assert document.position(("a", "missing")) == Position(1, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 100, "f:1:33: nested more than 32 levels deep"),
        ("a: &a [*a]", "f:1:4: nested more than 32 levels deep once aliases are expanded"),
        ("a: b: c", "f:1:5: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "f:2:1: expected a single document in the stream, but found another document"),
        ("a: 1\nb: \x01", "f:2:4: character '\\x01' is not allowed in YAML"),
        ("a: *nothing", "f:1:4: found undefined alias 'nothing'"),
    ],
)
def test_an_unusable_file_is_one_error(text, expected):
    """Depth is bounded before Python's own stack is."""
    with pytest.raises(InputError) as failure:
        parse_document(text, "f", InputError)
    assert str(failure.value) == expected


def test_an_alias_bomb_is_refused_cheaply():
    """Nine levels of nine aliases stand for 387 million values."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(InputError, match="more than 200000 values once aliases are expanded"):
        parse_document("\n".join(lines), "f", InputError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff\n", "not UTF-8 text (byte 0xff)"),
        (b"# " + b"x" * (4 << 20), "larger than 4 MiB"),
    ],
    ids=["not-utf8", "too-large"],
)
def test_a_file_that_is_not_text_of_a_sane_size_is_refused(tmp_path, content, message):
    """A capture given by mistake must not be parsed as YAML."""
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as failure:
        read_document(path, InputError)
    assert message in str(failure.value)


def test_a_missing_file_and_a_directory_are_input_errors(tmp_path):
    """The commonest mistake of all is a wrong path."""
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read_document(path, InputError)
