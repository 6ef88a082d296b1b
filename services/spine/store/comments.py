"""Comments on jobs."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import Comment
from spine.store.statement import Statement, bind


class CommentRow(NamedTuple):
    """A row of `comments`; `at` in ms."""

    seq: int
    at: int
    author: str
    text: str


_ADD = Statement(Comment.insert({getattr(Comment, n): bind(n) for n in ("job_id", "at", "author", "text")}))
_OF_JOB = Statement(
    Comment.select(Comment.seq, Comment.at, Comment.author, Comment.text)
    .where(Comment.job_id == bind("job_id"))
    .order_by(Comment.seq)
)
_LAST = Statement(
    Comment.select(Comment.seq, Comment.at, Comment.author, Comment.text)
    .where(Comment.job_id == bind("job_id"))
    .order_by(Comment.seq.desc())
    .limit(bind("limit"))
)


def add(tx: Tx, job_id: str, author: str, text: str) -> None:
    """Add a comment."""
    tx.insert(_ADD, job_id=job_id, at=tx.now, author=author, text=text)


def of_job(tx: Tx, job_id: str) -> list[CommentRow]:
    """Return a job's comments, oldest first."""
    return [CommentRow._make(row) for row in tx.rows(_OF_JOB, job_id=job_id)]


def last(tx: Tx, job_id: str, limit: int) -> list[CommentRow]:
    """Return a job's last comments, oldest first."""
    return [CommentRow._make(row) for row in tx.rows(_LAST, job_id=job_id, limit=limit)][::-1]
