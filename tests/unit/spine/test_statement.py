"""Statements compiled from queries."""

import peewee as pw
import pytest

from spine.store.models import Job, Lane
from spine.store.statement import Statement, bind, number, place, text


def test_names_in_the_order_of_the_marks() -> None:
    statement = Statement(Job.select(Job.id).where((Job.fence == bind("b")) & (Job.id == bind("a"))).limit(bind("c")))
    sql, names = statement.compiled("sqlite")
    assert sql == ('SELECT "t1"."id" FROM "jobs" AS "t1" WHERE (("t1"."fence" = ?) AND ("t1"."id" = ?)) LIMIT ?')
    assert names == ("b", "a", "c")
    assert statement.compiled("sqlite") is statement.compiled("sqlite")


def test_constants_are_inlined() -> None:
    sql, names = Statement(Job.select(Job.id).where(Job.status == text("running")).limit(number(3))).compiled("sqlite")
    assert sql.endswith("""WHERE ("t1"."status" = 'running') LIMIT 3""")
    assert names == ()


def test_a_suffix() -> None:
    assert Statement(Job.select(Job.id), " LIMIT 1").compiled("sqlite")[0].endswith('AS "t1" LIMIT 1')


def test_a_constant_that_is_neither_bound_nor_inlined_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="loose"):
        Statement(Job.select(Job.id).where(Job.label == "loose")).compiled("sqlite")


@pytest.mark.parametrize("word", ["it's", "a b", "x;--", "", "a-b"])
def test_only_plain_words_are_inlined(word: str) -> None:
    with pytest.raises(ValueError, match="plain word"):
        text(word)


def test_a_number_is_a_number() -> None:
    with pytest.raises(ValueError):
        number("1; DROP TABLE jobs")  # type: ignore[arg-type]
    assert isinstance(number(5), pw.SQL)


def test_each_dialect_has_its_own_marks_and_words() -> None:
    found = Statement(Job.select(Job.id).where(place(Job.label, bind("q")) > number(0)).limit(number(1)))
    assert found.compiled("sqlite")[0].endswith('WHERE (INSTR("t1"."label", ?) > 0) LIMIT 1')
    assert found.compiled("postgres")[0].endswith('WHERE (STRPOS("t1"."label", %s) > 0) LIMIT 1')


def test_an_insert_can_answer_the_new_key() -> None:
    added = Statement(Lane.insert({Lane.target: bind("target"), Lane.requires: bind("requires")}))
    sql, names = added.keyed("postgres")
    assert sql == 'INSERT INTO "lanes" ("target", "requires") VALUES (%s, %s) RETURNING "id"'
    assert names == ("target", "requires")
    assert added.keyed_reader("postgres")[0] == sql
