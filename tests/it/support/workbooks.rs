//! `report.xlsx`, by a reader that shares nothing with its writer.

use std::io::Cursor;
use std::path::Path;

use calamine::{Data, DataType, Reader, Xlsx};

/// The sheets of a workbook in order, each by its name with the cells of its rows; none has a formula.
#[track_caller]
pub fn sheets(bytes: &[u8]) -> Vec<(String, Vec<Vec<Data>>)> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes.to_vec())).unwrap();
    let names = book.sheet_names();
    let sheet = |name: String| {
        let formulas = book.worksheet_formula(&name).unwrap();
        assert!(formulas.used_cells().next().is_none(), "{name} calculates");
        let cells = book.worksheet_range(&name).unwrap();
        let rows = cells.rows().map(<[Data]>::to_vec).collect();
        (name, rows)
    };
    names.into_iter().map(sheet).collect()
}

/// The sheets of a run's workbook.
#[track_caller]
pub fn sheets_of(run: &Path) -> Vec<(String, Vec<Vec<Data>>)> {
    sheets(&std::fs::read(run.join("report.xlsx")).unwrap())
}

/// A cell as CSV has it.
pub fn as_csv(cell: &Data, column: &str) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::Bool(flag) => flag.to_string(),
        Data::DateTime(time) => {
            let time = time.as_datetime().unwrap();
            let form = match column {
                "waiver_expires" => "%Y-%m-%d",
                _ => "%Y-%m-%d %H:%M:%S",
            };
            time.format(form).to_string()
        }
        cell => cell.as_string().unwrap(),
    }
}
