//! One field of a cron schedule: a set of numbers, and whether it was restricted.

/// The range of values of a field.
pub struct Range {
    /// The field's name in messages.
    name: &'static str,
    first: i8,
    last: i8,
    /// Names of the numbers from `first` on; empty for most fields.
    names: &'static [&'static str],
}

pub const MINUTE: Range = Range { name: "minute", first: 0, last: 59, names: &[] };
pub const HOUR: Range = Range { name: "hour", first: 0, last: 23, names: &[] };
pub const DAY_OF_MONTH: Range = Range { name: "day of month", first: 1, last: 31, names: &[] };
pub const MONTH: Range = Range { name: "month", first: 1, last: 12, names: &MONTHS };
/// 7 is Sunday too; it is stored as 0.
pub const DAY_OF_WEEK: Range = Range { name: "day of week", first: 0, last: 7, names: &WEEKDAYS };

impl Range {
    /// The last value as stored. 7 would be the Sunday of the next week.
    fn last_stored(&self) -> i8 {
        if self.last == SUNDAY_AS_LAST { 6 } else { self.last }
    }

    /// A bit for each value.
    fn all(&self) -> u64 {
        (self.first..=self.last_stored()).fold(0, |bits, number| bits | 1 << number)
    }
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const SUNDAY: i8 = 0;
const SUNDAY_AS_LAST: i8 = 7;

/// The numbers that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Bit n is set if n matches.
    bits: u64,
    /// True if a list of values was written, and not `*`. For most fields, a list of all values is
    /// read as `*`; see [`Field::lists_all`].
    pub restricted: bool,
}

impl Field {
    /// Reads a field; the error says what is wrong with it.
    pub fn read(text: &str, range: &Range) -> Result<Self, String> {
        let mut bits = 0;
        for item in text.split(',') {
            bits |= read_item(item, range)?;
        }
        if range.last == SUNDAY_AS_LAST && bits >> SUNDAY_AS_LAST & 1 == 1 {
            bits = bits & !(1 << SUNDAY_AS_LAST) | 1 << SUNDAY;
        }
        Ok(Self { bits, restricted: text != "*" })
    }

    /// True if the field is not `*`, but a list of all values of its range.
    pub fn lists_all(self, range: &Range) -> bool {
        self.restricted && self.bits == range.all()
    }

    /// `*`: all values match.
    pub fn any(range: &Range) -> Self {
        Self { bits: range.all(), restricted: false }
    }

    /// This field, or `*` if it lists all values.
    #[must_use]
    pub fn or_any(self, range: &Range) -> Self {
        if self.lists_all(range) { Self::any(range) } else { self }
    }

    /// True if `number` matches.
    pub fn has(self, number: i8) -> bool {
        (0..64).contains(&number) && self.bits >> number & 1 == 1
    }

    /// The first matching number at or after `number`.
    pub fn first_from(self, number: i8) -> Option<i8> {
        (number..=59).find(|number| self.has(*number))
    }

    /// The last matching number at or before `number`.
    pub fn last_up_to(self, number: i8) -> Option<i8> {
        (0..=number).rev().find(|number| self.has(*number))
    }

    /// The field as text: `*`, a step over all, or a list of numbers and ranges.
    pub fn write(self, range: &Range) -> String {
        if !self.restricted {
            return "*".to_owned();
        }
        let last = range.last_stored();
        let is_step = |step: &i8| {
            let every = (range.first..=last).step_by(usize::from(step.unsigned_abs()));
            every.fold(0, |bits, number| bits | 1 << number) == self.bits
        };
        // For months and weekdays, names say more than `*/2` does.
        if range.names.is_empty()
            && let Some(step) = (2..=last / 2).find(is_step)
        {
            return format!("*/{step}");
        }
        let mut items = Vec::new();
        let mut from = range.first;
        while let Some(start) = (from..=last).find(|number| self.has(*number)) {
            let end = (start..=last).take_while(|number| self.has(*number)).last().unwrap_or(start);
            let named = |number| name_of(number, range);
            match end - start {
                0 => items.push(named(start)),
                1 => items.extend([named(start), named(end)]),
                _ => items.push(format!("{}-{}", named(start), named(end))),
            }
            from = end + 1;
        }
        items.join(",")
    }
}

fn name_of(number: i8, range: &Range) -> String {
    let index = usize::try_from(number - range.first).unwrap_or_default();
    range.names.get(index).map_or_else(|| number.to_string(), ToString::to_string)
}

/// The numbers of one item of a list: `*`, `5`, `1-5`, `*/15` or `1-30/2`.
fn read_item(item: &str, range: &Range) -> Result<u64, String> {
    let name = range.name;
    let (span, step) = match item.split_once('/') {
        Some((span, step)) => (span, Some(step)),
        None => (item, None),
    };
    let (start, end) = if span == "*" {
        (range.first, range.last_stored())
    } else if let Some((start, end)) = span.split_once('-') {
        let (start, end) = (number(start, range)?, number(end, range)?);
        // The range ends on Sunday, so 0 is read as 7.
        let is_sunday = range.last == SUNDAY_AS_LAST && end == SUNDAY && start > end;
        (start, if is_sunday { SUNDAY_AS_LAST } else { end })
    } else {
        let only = number(span, range)?;
        if step.is_some() {
            let last = range.last;
            return Err(format!(
                "the {name} {item:?} has a step without a range; write {span}-{last}/…"
            ));
        }
        (only, only)
    };
    if start > end {
        return Err(format!("the {name} {item:?} runs backwards; write two ranges"));
    }
    let step = match step {
        None => 1,
        Some(step) => read_number(step).filter(|step| *step > 0).ok_or_else(|| {
            format!("the {name} {item:?} has a step that is not a number of at least 1")
        })?,
    };
    let every = (start..=end).step_by(usize::from(step.unsigned_abs()));
    Ok(every.fold(0, |bits, number| bits | 1 << number))
}

/// A number or a name within the range of a field.
fn number(text: &str, range: &Range) -> Result<i8, String> {
    let named = range.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let named = named.and_then(|index| i8::try_from(index).ok()).map(|index| range.first + index);
    let in_range = |number: &i8| (range.first..=range.last).contains(number);
    named.or_else(|| read_number(text)).filter(in_range).ok_or_else(|| {
        let Range { name, first, last, names } = range;
        let or_names = match names {
            [first, .., last] => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        format!("the {name} is {first} to {last}{or_names}, got {text:?}")
    })
}

/// Parses one or two digits.
fn read_number(text: &str) -> Option<i8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
