//! Suggestions for misspelt words.

/// Returns ` (did you mean …?)` for a word that is nearly one of `known`, else an empty text.
pub fn did_you_mean(got: &str, known: &[&str]) -> String {
    nearest(got, known).map_or_else(String::new, |word| format!(" (did you mean {word}?)"))
}

/// The word among `known` that `got` is close to: one slip away in a short word, two from five
/// letters on. Two swapped letters are one slip.
pub fn nearest<'k>(got: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Longer words are cut, because the cost grows with the square of the length.
    const WORD_CHARS_MAX: usize = 40;
    let got: String = got.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let near = known.iter().map(|word| (strsim::osa_distance(&got, &word.to_lowercase()), *word));
    let near = near.filter(|(slips, word)| *slips <= if word.len() < 5 { 1 } else { 2 }).min();
    near.map(|(_, word)| word)
}
