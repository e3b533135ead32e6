"""A guest book: every visit is counted and every note kept in Postgres, so that one sees both of them work.

Where the database is: DATABASE_HOST, else what Kubernetes says of the service `postgres`, else that name. The password
is read from the file that DATABASE_PASSWORD_FILE names. Runs in the image `demo-web`, on Debian's Flask.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped,import-not-found,unused-ignore]  # in the image, not here
from flask import (  # type: ignore[import-not-found,unused-ignore]
    Flask,
    Response,
    jsonify,
    redirect,
    render_template_string,
    request,
)

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Guest book</title>
<style>body{font:1.1rem/1.5 sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}li{margin:.3rem 0}</style>
<h1>Guest book</h1>
<p>Visits kept in Postgres: {{ visits }}. This page is from {{ pod }}.</p>
<form method="post"><input name="note" maxlength="200" required autofocus> <button>Leave a note</button></form>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
</html>
"""
_TABLES = """
SELECT pg_advisory_xact_lock(7462);
CREATE TABLE IF NOT EXISTS visits (at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text varchar(200) NOT NULL);
"""
_SHOWN = 20

app = Flask(__name__)


@contextmanager
def database() -> Iterator[Any]:
    """A cursor in one transaction."""
    connection = psycopg2.connect(
        host=os.environ.get("DATABASE_HOST") or os.environ.get("POSTGRES_SERVICE_HOST") or "postgres",
        user="demo",
        dbname="postgres",
        password=Path(os.environ["DATABASE_PASSWORD_FILE"]).read_text().strip(),
        connect_timeout=5,
    )
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_TABLES)
            yield cursor
    finally:
        connection.close()


def page() -> str:
    with database() as cursor:
        cursor.execute("INSERT INTO visits DEFAULT VALUES")
        cursor.execute("SELECT count(*) FROM visits")
        visits = cursor.fetchone()[0]
        cursor.execute("SELECT text FROM notes ORDER BY id DESC LIMIT %s", (_SHOWN,))
        notes = [text for (text,) in cursor.fetchall()]
    return str(render_template_string(_PAGE, visits=visits, notes=notes, pod=socket.gethostname()))


def leave_note() -> Response:
    if text := request.form.get("note", "").strip()[:200]:
        with database() as cursor:
            cursor.execute("INSERT INTO notes (text) VALUES (%s)", (text,))
    return redirect("/", code=303)


def alive() -> Response:
    """Says that this process answers, whatever its database does: restarting it would not help that."""
    return jsonify(alive=True)


def ready() -> Response:
    """Says that a page could be made now."""
    with database() as cursor:
        cursor.execute("SELECT count(*) FROM notes")
        return jsonify(ready=True, notes=cursor.fetchone()[0])


def without_database(error: Exception) -> tuple[Response, int]:
    app.logger.warning("the database does not answer: %s", str(error).strip())
    return jsonify(error="the database does not answer"), 503


app.add_url_rule("/", view_func=page)
app.add_url_rule("/", view_func=leave_note, methods=["POST"])
app.add_url_rule("/alive", view_func=alive)
app.add_url_rule("/ready", view_func=ready)
app.register_error_handler(psycopg2.OperationalError, without_database)

if __name__ == "__main__":
    from waitress import serve  # type: ignore[import-untyped,import-not-found,unused-ignore]

    # the first process of a container is spared what it does not ask for
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    serve(app, host="0.0.0.0", port=8000, threads=4)  # noqa: S104 - a pod's own network
