//! The page around the sections, and pieces that many of them use.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A part of the page with a heading.
pub struct Section {
    /// Unique in the page.
    pub id: String,
    pub title: String,
    /// Of its heading: 2, or 3 within a run of several.
    pub level: u8,
    pub body: Markup,
}

impl Section {
    fn markup(&self) -> Markup {
        html! {
            section aria-labelledby=(self.id) {
                @if self.level == 2 { h2 id=(self.id) { (self.title) } } @else { h3 id=(self.id) { (self.title) } }
                (self.body)
            }
        }
    }
}

/// The page: sections, then, if there are several runs, each run's own.
pub fn page(title: &str, sections: &[Section], runs: &[(String, Vec<Section>)]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "lenet " (env!("CARGO_PKG_VERSION")) };
                title { (title) }
                // An icon of its own, so that a browser asks nobody for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header { h1 { (title) } }
                nav aria-label="Contents" {
                    ul {
                        @for section in sections { li { a href={ "#" (section.id) } { (section.title) } } }
                        @for (i, (name, _)) in runs.iter().enumerate() { li { a href={ "#run" (i) } { (name) } } }
                    }
                }
                main id="content" tabindex="-1" {
                    @for section in sections { (section.markup()) }
                    @for (i, (name, sections)) in runs.iter().enumerate() {
                        section.run aria-labelledby={ "run" (i) } {
                            h2 id={ "run" (i) } { "Run " (name) }
                            @for section in sections { (section.markup()) }
                        }
                    }
                }
            }
        }
    }
}

/// What may be wider than the page, in a box that scrolls, with the keyboard too.
pub fn wide(label: &str, content: Markup) -> Markup {
    html! { div.wide tabindex="0" role="region" aria-label=(label) { (content) } }
}

/// A table with a caption and a heading a column; the first cell of a row is its heading. Columns of numbers are aligned
/// right, others left.
pub fn table(label: &str, caption: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Markup {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let number =
        |cell: &String| cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || "+-−–".contains(c));
    let kind = |column: usize| {
        let numbers = column > 0 && rows.iter().filter_map(|row| row.get(column)).all(number);
        if numbers { "number" } else { "words" }
    };
    let kinds: Vec<&str> = (0..columns.len()).map(kind).collect();
    let body = html! {
        table {
            caption { (caption) }
            thead { tr { @for (column, kind) in columns.iter().zip(&kinds) { th.(kind) scope="col" { (column) } } } }
            tbody {
                @for row in &rows {
                    tr {
                        @for (i, (cell, kind)) in row.iter().zip(&kinds).enumerate() {
                            @if i == 0 { th scope="row" { (cell) } } @else { td.(kind) { (cell) } }
                        }
                    }
                }
            }
        }
    };
    wide(label, body)
}

/// A table that is read by its keys: name and value.
pub fn pairs(label: &str, caption: &str, rows: &[(String, String)]) -> Markup {
    let body = html! {
        table.pairs {
            caption { (caption) }
            tbody { @for (key, value) in rows { tr { th scope="row" { (key) } td { (value) } } } }
        }
    };
    wide(label, body)
}

/// Numbers behind a picture, folded away.
pub fn numbers(title: &str, content: Markup) -> Markup {
    html! { details { summary { (title) } (content) } }
}

/// `0.7524` as `75.24 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
