"""A file of Clerk ids and assistants: a bad line is named by its number, and then nothing of the file is taken."""

from pathlib import Path

import pytest

from app.commands.importing.csv_file import read_csv
from app.commands.importing.mapping import UnclearMapping

ID = "2d2a4c1e-2a3b-4c5d-8e9f-0123456789ab"
OTHER = "2d2a4c1e-2a3b-4c5d-8e9f-0123456789ac"


def written(folder: Path, text: str) -> Path:
    file = folder / "users.csv"
    file.write_bytes(text.encode())
    return file


@pytest.mark.parametrize(
    "text",
    [
        f"clerk_id,assistant_id\nuser_a,{ID}\n",
        f"\ufeffassistant_id, clerk_id\r\n{ID.upper()}, user_a\r\n",
        f'clerk_id,"assistant_id",email\n"user_a",{ID},x@example.com',
    ],
    ids=["plain", "a byte order mark, blanks, another order", "quotes and another column"],
)
def test_users_are_read_by_the_names_of_the_columns(tmp_path: Path, text: str) -> None:
    (user,) = read_csv(written(tmp_path, text))

    assert (user.clerk_id, (user.assistant_id or "").lower()) == ("user_a", ID)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"user_a b,{ID}", "line 3: clerk_id is not"),
        (f",{ID}", "line 3: clerk_id is not"),
        ("user_b,asst_1", "line 3: assistant_id is not a UUID"),
        ("user_b", "line 3: assistant_id is not a UUID"),
        (f"user_b,{OTHER},more", "line 3: has more fields"),
        (f"user_a,{OTHER}", "line 3: names the user or the assistant of line 2 again"),
        (f"user_b,{ID.upper()}", "line 3: names the user or the assistant of line 2 again"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(UnclearMapping, match=words):
        read_csv(written(tmp_path, f"clerk_id,assistant_id\nuser_a,{ID}\n{line}\n"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'clerk_id,assistant_id\nuser_a,{ID}\nuser_b,"{OTHER}\nuser_c,{OTHER}\n', 3),
        (f"clerk_id,assistant_id\nuser_a,{ID}\nuser_b,{'x' * 131_073}\n", 3),
        (f'clerk_id,assistant_id\n\n"user_a"b,{ID}\n', 3),
        (f'clerk_id,"assistant_id\nuser_a,{ID}\n', 1),
    ],
    ids=[
        "a quote that is not closed",
        "a large field",
        "text behind a quote and an empty line",
        "a quote in the header",
    ],
)
def test_what_is_no_csv_is_named_by_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(UnclearMapping, match=f"^line {line}: is not CSV"):
        read_csv(written(tmp_path, text))


@pytest.mark.parametrize("text", ["", "user_a,x\n", "clerk_id;assistant_id\n", "clerk_id\nuser_a\n"])
def test_a_file_without_a_header_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnclearMapping, match="line 1"):
        read_csv(written(tmp_path, text))
