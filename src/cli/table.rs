//! Tables on a terminal: columns that align whatever the script of what is in them.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

/// A column is made no wider than this for the sake of one long cell.
const WIDEST: usize = 60;

/// Rows in columns, two spaces between them.
pub fn table<const N: usize>(indent: usize, rows: &[[String; N]]) -> String {
    painted(indent, rows, |_, _| None)
}

/// As [`table`], with a colour for some cells, by their row and column.
pub fn painted<const N: usize>(
    indent: usize,
    rows: &[[String; N]],
    colour: impl Fn(usize, usize) -> Option<&'static str>,
) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let widths = rows.iter().map(|row| row[column].width());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    });
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let last = row.iter().rposition(|cell| !cell.is_empty());
        let _ = write!(text, "{:indent$}", "");
        for (column, cell) in row.iter().enumerate() {
            if last.is_none_or(|last| column > last) {
                break;
            }
            let _ = match colour(number, column) {
                Some(colour) => write!(text, "\u{1b}[{colour}m{cell}\u{1b}[0m"),
                None => write!(text, "{cell}"),
            };
            if last != Some(column) {
                let padding = widths[column].saturating_sub(cell.width()) + 2;
                let _ = write!(text, "{:padding$}", "");
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_align_by_the_width_that_a_terminal_gives_a_text() {
        let rows = [
            row(["corp.example", "Acme", "a"]),
            row(["\u{4f8b}\u{3048}.jp", "Bu\u{308}cher", "b"]),
            row(["\u{65e5}\u{672c}\u{8a9e}", "", ""]),
        ];
        assert_eq!(
            table(1, &rows),
            " corp.example  Acme    a\n \u{4f8b}\u{3048}.jp       Bu\u{308}cher  b\n \u{65e5}\u{672c}\u{8a9e}\n"
        );
    }

    #[test]
    fn one_long_cell_widens_no_other_row() {
        let long = "x".repeat(WIDEST + 1);
        let rows = [row([&long, "b", "c"]), row(["a", "b", "c"])];
        assert_eq!(table(0, &rows), format!("{long}  b  c\na  b  c\n"));
    }

    #[test]
    fn colours_take_no_width() {
        let rows = [row(["a", "b", "c"]), row(["aa", "b", "c"])];
        let painted = painted(0, &rows, |row, column| {
            (row == 0 && column == 0).then_some("31")
        });
        assert_eq!(painted, "\u{1b}[31ma\u{1b}[0m   b  c\naa  b  c\n");
    }
}
