//! Parses the payer's file, the list of payments it says it made.

use std::collections::HashMap;
use std::path::Path;

use csv::StringRecord;
use serde_json::Value;
use uuid::Uuid;

/// Limit on the unreadable lines that are named.
const NAMED_MAX: usize = 20;

/// The format of a payer's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// With a header; fields are separated by `,` or `;`.
    Csv,
    /// One object per line, or an array of them.
    Json,
}

impl FileFormat {
    /// Derives the format from the file name: `.json`, `.jsonl` and `.ndjson` in any case are JSON,
    /// all else is CSV.
    pub fn of(path: &Path) -> Self {
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let is_json =
            ["json", "jsonl", "ndjson"].iter().any(|known| end.eq_ignore_ascii_case(known));
        if is_json { Self::Json } else { Self::Csv }
    }
}

/// The amount of each payment, by grant.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Payments {
    pub(super) by_grant: HashMap<Uuid, Vec<i64>>,
}

/// The unreadable lines of a payer's file.
#[derive(Debug, PartialEq, Eq)]
pub struct PaymentsFault {
    /// The first of them, with their line numbers from 1 and what is wrong. In a JSON array the
    /// number of the value stands for the line.
    pub first: Vec<(u64, String)>,
    /// The number of all unreadable lines.
    pub count: u64,
}

impl PaymentsFault {
    fn add(&mut self, line: u64, what: String) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push((line, what));
        }
    }
}

impl Payments {
    /// Reads the fields `grant` and `amount`, in any case, and ignores all others.
    pub fn parse(text: &str, format: FileFormat) -> Result<Self, PaymentsFault> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut read = Reading::default();
        match format {
            FileFormat::Csv => read.csv(text),
            FileFormat::Json if text.trim_start().starts_with('[') => read.json_array(text),
            FileFormat::Json => read.json_lines(text),
        }
        if read.faults.count > 0 { Err(read.faults) } else { Ok(read.payments) }
    }
}

struct Reading {
    payments: Payments,
    faults: PaymentsFault,
}

impl Default for Reading {
    fn default() -> Self {
        let faults = PaymentsFault { first: Vec::new(), count: 0 };
        Self { payments: Payments::default(), faults }
    }
}

impl Reading {
    fn add(&mut self, line: u64, payment: Result<(Uuid, i64), String>) {
        match payment {
            Ok((grant, amount)) => self.payments.by_grant.entry(grant).or_default().push(amount),
            Err(what) => self.faults.add(line, what),
        }
    }

    fn csv(&mut self, text: &str) {
        let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let delimiter = if header.contains(';') && !header.contains(',') { b';' } else { b',' };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut columns = None;
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    self.faults.add(line, error.to_string());
                    continue;
                }
            };
            if record.iter().all(str::is_empty) {
                continue;
            }
            let line = line_of(&record, text);
            match columns {
                Some(columns) => self.add(line, of_record(&record, columns)),
                None => match columns_of(&record) {
                    Some(found) => columns = Some(found),
                    None => return self.faults.add(line, NO_HEADER.to_owned()),
                },
            }
        }
        if columns.is_none() {
            self.faults.add(1, NO_HEADER.to_owned());
        }
    }

    fn json_lines(&mut self, text: &str) {
        for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
            let value = serde_json::from_str(row).map_err(|error| error.to_string());
            self.add(line, value.and_then(|value: Value| of_object(&value)));
        }
    }

    /// Values of an array have no lines of their own; their numbers, from 1, are reported instead.
    fn json_array(&mut self, text: &str) {
        match serde_json::from_str::<Vec<Value>>(text) {
            Ok(values) => {
                for (number, value) in (1..).zip(&values) {
                    self.add(number, of_object(value));
                }
            }
            Err(error) => {
                self.faults.add(u64::try_from(error.line()).unwrap_or(0), error.to_string());
            }
        }
    }
}

const NO_HEADER: &str =
    "the file needs a header that names the columns `grant` and `amount`, separated by , or ;";

/// Returns the columns of grant and amount.
fn columns_of(header: &StringRecord) -> Option<(usize, usize)> {
    let column = |name: &str| header.iter().position(|found| found.eq_ignore_ascii_case(name));
    Some((column("grant")?, column("amount")?))
}

/// Returns the line at which a record begins. The reader counts empty lines before a record as part
/// of it.
fn line_of(record: &StringRecord, text: &str) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let begin = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(begin..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + empty.filter(|byte| **byte == b'\n').count() as u64
}

fn of_record(
    record: &StringRecord,
    (grant, amount): (usize, usize),
) -> Result<(Uuid, i64), String> {
    let field = |column: usize, name: &str| {
        record.get(column).filter(|text| !text.is_empty()).ok_or(format!("{name} is missing"))
    };
    Ok((uuid(field(grant, "grant")?)?, whole(field(amount, "amount")?)?))
}

fn of_object(value: &Value) -> Result<(Uuid, i64), String> {
    let object = value.as_object().ok_or("must be an object with grant and amount")?;
    let field = |name: &str| {
        let found = object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).ok_or(format!("{name} is missing"))
    };
    let grant = field("grant")?.as_str().ok_or("grant must be a text")?;
    let amount = match field("amount")? {
        Value::String(text) => whole(text)?,
        Value::Number(number) => whole(&number.to_string())?,
        _ => return Err("amount must be a number".to_owned()),
    };
    Ok((uuid(grant)?, amount))
}

fn uuid(text: &str) -> Result<Uuid, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not the id of a grant"))
}

/// Parses an integer; a zero fraction is allowed.
fn whole(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_whole = fraction.bytes().all(|digit| digit == b'0');
    let parsed = integer.parse().ok().filter(|_| is_whole);
    parsed.ok_or_else(|| format!("{text:?} is not an integer amount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    fn csv(text: &str) -> Result<Payments, PaymentsFault> {
        Payments::parse(text, FileFormat::Csv)
    }

    fn paid(found: &[(Uuid, &[i64])]) -> Payments {
        let by_grant = found.iter().map(|(grant, paid)| (*grant, paid.to_vec())).collect();
        Payments { by_grant }
    }

    fn lines(fault: &Result<Payments, PaymentsFault>) -> Vec<u64> {
        fault.as_ref().unwrap_err().first.iter().map(|(line, _)| *line).collect()
    }

    #[test]
    fn columns_are_found_by_name_in_any_case_and_with_either_separator() {
        let both = Ok(paid(&[(ONE, &[10]), (TWO, &[-3, 4])]));
        assert_eq!(csv(&format!("grant,amount\n{ONE},10\n{TWO},-3\n{TWO},4\n")), both);
        let other =
            format!("\u{feff}When;Amount; Grant\r\nx;10.0;{ONE}\r\ny;-3;{TWO}\r\nz;4.00;{TWO}");
        assert_eq!(csv(&other), both);
    }

    #[test]
    fn a_file_without_a_header_is_an_error_that_says_so() {
        for text in [format!("{ONE},10\n"), String::new(), "\n\n".to_owned(), "a,b\n".to_owned()] {
            let fault = csv(&text).unwrap_err();
            assert_eq!(fault.count, 1);
            assert!(fault.first[0].1.contains("needs a header"), "{fault:?}");
        }
        assert_eq!(csv("grant,amount\n"), Ok(paid(&[])));
    }

    #[test]
    fn lines_are_counted_through_empty_ones_and_quoted_ends_of_lines() {
        let text = format!(
            "grant,amount,note\n\n{ONE},x,\n\n\n{TWO},1,\"two\nlines\"\nnobody,1,\n{ONE},1.5,\n"
        );
        assert_eq!(lines(&csv(&text)), [3, 8, 9]);
    }

    #[test]
    fn json_is_read_line_by_line_or_as_an_array() {
        let both = Ok(paid(&[(ONE, &[10]), (TWO, &[4])]));
        let (one, two) = (
            format!(r#"{{"grant":"{ONE}","amount":10.0,"note":1}}"#),
            format!(r#"{{"Grant":"{TWO}","Amount":"4"}}"#),
        );
        let json = |text: &str| Payments::parse(text, FileFormat::Json);
        assert_eq!(json(&format!("{one}\n\n{two}\n")), both);
        assert_eq!(json(&format!(" [{one},\n{two}]")), both);
        assert_eq!(lines(&json(&format!("{one}\n\n{{}}\nx\n"))), [3, 4]);
    }

    #[test]
    fn the_first_lines_that_cannot_be_read_are_named_and_all_are_counted() {
        let mut text = "grant,amount\n".to_owned();
        text.extend((0..50).map(|_| "x,1\n"));
        let fault = csv(&text).unwrap_err();
        assert_eq!((fault.first.len(), fault.count), (20, 50));
    }

    #[test]
    fn the_name_of_a_file_says_how_it_is_written() {
        for name in ["a.jsonl", "a.JSONL", "a.ndjson", "a.Json"] {
            assert_eq!(FileFormat::of(Path::new(name)), FileFormat::Json, "{name}");
        }
        for name in ["a.csv", "a.txt", "jsonl"] {
            assert_eq!(FileFormat::of(Path::new(name)), FileFormat::Csv, "{name}");
        }
    }
}
