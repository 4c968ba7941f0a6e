"""Fills the small SQLite database that Datasette publishes; it lives as long as the server does."""

from datasette import hookimpl
from datasette.database import Database

BOOKS = [
    ("Middlemarch", "George Eliot", 1871),
    ("Moby-Dick", "Herman Melville", 1851),
    ("Pride and Prejudice", "Jane Austen", 1813),
    ("The Time Machine", "H. G. Wells", 1895),
    ("Vanity Fair", "William Makepeace Thackeray", 1848),
]


def fill(connection):
    with connection:
        connection.execute("create table if not exists books (title primary key, author, year integer)")
        connection.executemany("insert or replace into books values (?, ?, ?)", BOOKS)


@hookimpl
def startup(datasette):
    async def make():
        await datasette.add_database(Database(datasette, memory_name="library")).execute_write_fn(fill)

    return make
