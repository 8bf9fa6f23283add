//! What the commands print: results on standard output, everything about how it went on standard error.

use super::settings;
use std::io::{IsTerminal as _, Write as _};

/// A line of a command's result. A reader that has gone away, as `head` does, ends the program quietly.
pub(crate) fn line(text: impl AsRef<str>) {
    bytes(text.as_ref().as_bytes());
    bytes(b"\n");
}

pub(crate) fn bytes(bytes: &[u8]) {
    if std::io::stdout().lock().write_all(bytes).is_err() {
        std::process::exit(0);
    }
}

pub(crate) fn json(document: &serde_json::Value) {
    line(format!("{document:#}"));
}

/// A line about how it goes.
pub(crate) fn note(text: impl AsRef<str>) {
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

pub(crate) fn warning(text: impl AsRef<str>) {
    note(format!("{} {}", paint(Color::Yellow, "warning:"), text.as_ref()));
}

/// Rows under their heads, each column as wide as its widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    print(&mut head.iter().copied());
    for row in rows {
        print(&mut row.iter().map(String::as_str));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    Dim,
}

/// Colours a text if a person reads it.
pub(crate) fn paint(color: Color, text: &str) -> String {
    if settings::no_color() || !std::io::stderr().is_terminal() || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    let code = match color {
        Color::Red => "31",
        Color::Green => "32",
        Color::Yellow => "33",
        Color::Blue => "34",
        Color::Magenta => "35",
        Color::Cyan => "36",
        Color::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
