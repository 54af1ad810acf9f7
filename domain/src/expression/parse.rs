//! Parses a text into the syntax tree of the library.

use cel::Env;
use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr, SourceInfo};

/// The longest expression, in bytes: a rule, not a program.
pub const SOURCE_BYTES_MAX: usize = 2048;

/// The deepest tree that is evaluated: each level takes stack, and a rule comes from outside.
const DEPTH_MAX: usize = 32;

/// The parser's stack, enough for the longest source. Only pages that are touched take memory.
const PARSER_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs `work` on a stack of its own: the parser takes tens of kilobytes for each level of nesting,
/// more than the threads of a server have to spare.
pub(super) fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().stack_size(PARSER_STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| format!("no thread to compile it: {e}"))?;
        thread.join().unwrap_or_else(|_| Err("the parser failed".to_owned()))
    })
}

/// Parses an expression. Returns its tree, in which macros are still calls, and the positions of
/// its parts in the text.
pub(super) fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(format!("longer than {SOURCE_BYTES_MAX} bytes"));
    }
    // Without its standard library the environment has no macros to expand.
    let parser = Env::default().with_optional_support(false).parser();
    let (tree, places) = parser.parse_with_source_info(source).map_err(|errors| {
        let (at, message) = errors.errors.first().map_or((None, "no expression".to_owned()), |e| {
            let (line, column) = e.pos;
            ((line > 0).then_some((line, column.max(0) + 1)), one_line(&e.msg))
        });
        match at {
            Some((line, column)) => format!("{message} (line {line}, column {column})"),
            None => message,
        }
    })?;
    if depth(&tree) > DEPTH_MAX {
        return Err(format!("nested, or chained, more than {DEPTH_MAX} deep"));
    }
    Ok((tree, places))
}

/// The number of levels of a tree.
fn depth(tree: &IdedExpr) -> usize {
    1 + parts(tree).into_iter().map(depth).max().unwrap_or(0)
}

/// The direct subexpressions of an expression.
fn parts(tree: &IdedExpr) -> Vec<&IdedExpr> {
    match &tree.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => vec![],
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(parts_of_entry).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(parts_of_entry).collect(),
        Expr::Comprehension(c) => {
            vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
        }
    }
}

fn parts_of_entry(entry: &IdedEntryExpr) -> Vec<&IdedExpr> {
    match &entry.expr {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
