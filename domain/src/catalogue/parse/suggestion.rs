//! What the author of a misspelt word may have meant.

/// Longer words are not compared: the cost grows with the square of the length.
const WORD_CHARS_MAX: usize = 40;

/// ` (did you mean …?)` for a word that is nearly one of `known`, else nothing.
pub fn did_you_mean(got: &str, known: &[&str]) -> String {
    nearest(got, known).map_or_else(String::new, |word| format!(" (did you mean {word}?)"))
}

/// The one of `known` that `got` nearly is.
pub fn nearest<'k>(got: &str, known: &[&'k str]) -> Option<&'k str> {
    let got: Vec<char> = got.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let near = known.iter().map(|word| (distance(&got, word), *word));
    // One slip in a short word, two from five letters on: swapped letters are two.
    let near = near.filter(|(slips, word)| *slips <= if word.len() < 5 { 1 } else { 2 }).min();
    near.map(|(_, word)| word)
}

/// How many letters must be added, removed or replaced to make one word the other.
///
/// # Source
///
/// Levenshtein distance, computed row by row (Wagner and Fischer, 1974).
fn distance(got: &[char], word: &str) -> usize {
    let mut row: Vec<usize> = (0..=got.len()).collect();
    for (i, letter) in word.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in got.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[got.len()]
}
