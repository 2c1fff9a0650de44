"""Reading finished and unfinished runs again: tables, statistics, figures, one page."""
