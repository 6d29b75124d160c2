//! The words that are no names unless they are in double quotes.

/// Whether a word is a keyword, in any case.
pub(super) fn is_keyword(word: &str) -> bool {
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..word.len()) else {
        return false;
    };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    KEYWORDS
        .binary_search_by(|keyword| keyword.as_bytes().cmp(lower))
        .is_ok()
}

/// Bytes of the longest keyword.
const LONGEST: usize = 17;

/// The keywords of SQL-92 and of PartiQL as Amazon's reference parser has them, sorted; without those of clauses that
/// DynamoDB does not have. The guide's own list of reserved
/// words is for expressions; PartiQL takes most of those words as names.
#[rustfmt::skip]
const KEYWORDS: [&str; 246] = [
    "absolute", "action", "add", "all", "allocate", "alter", "and", "any", "are", "as", "asc", "assertion", "at",
    "authorization", "avg", "bag", "begin", "between", "bigint", "bit", "bit_length", "blob", "bool", "boolean",
    "by", "cascade", "cascaded", "case", "cast", "catalog", "char", "char_length", "character", "character_length",
    "check", "clob", "close", "coalesce", "collate", "collation", "column", "commit", "connect", "connection",
    "constraint", "constraints", "continue", "convert", "corresponding", "count", "create", "cross", "current",
    "current_date", "current_time", "current_timestamp", "current_user", "cursor", "date", "date_add", "date_diff",
    "deallocate", "dec", "decimal", "declare", "default", "deferrable", "deferred", "delete", "desc", "describe",
    "descriptor", "diagnostics", "disconnect", "distinct", "domain", "double", "drop", "else", "end", "escape",
    "except", "exception", "exec", "execute", "exists", "external", "extract", "false", "fetch", "first", "float",
    "for", "foreign", "found", "from", "full", "get", "global", "go", "goto", "grant", "group", "having",
    "identity", "immediate", "in", "index", "indicator", "initially", "inner", "input", "insensitive", "insert",
    "int", "int2", "int4", "int8", "integer", "integer2", "integer4", "integer8", "intersect", "interval", "into",
    "is", "isolation", "join", "key", "language", "last", "left", "level", "like", "limit", "list", "local",
    "lower", "match", "max", "min", "missing", "modified", "module", "names", "national", "natural", "nchar", "new",
    "next", "no", "not", "null", "nullif", "numeric", "octet_length", "of", "offset", "old", "on", "only", "open",
    "option", "or", "order", "outer", "output", "overlaps", "pad", "partial", "pivot", "position", "precision",
    "prepare", "preserve", "primary", "prior", "privileges", "procedure", "public", "read", "real", "references",
    "relative", "remove", "restrict", "returning", "revoke", "right", "rollback", "rows", "schema", "scroll",
    "section", "select", "session", "session_user", "set", "sexp", "size", "smallint", "some", "space", "sql",
    "sqlcode", "sqlerror", "sqlstate", "string", "struct", "substring", "sum", "symbol", "system_user", "table",
    "temporary", "then", "time", "timestamp", "to", "transaction", "translate", "translation", "trim", "true",
    "tuple", "union", "unique", "unknown", "unpivot", "update", "upper", "usage", "user", "using", "value",
    "values", "varchar", "varying", "view", "when", "whenever", "where", "with", "work", "write", "zone",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_in_any_case() {
        assert!(KEYWORDS.is_sorted());
        assert!(
            KEYWORDS
                .iter()
                .all(|word| is_keyword(word) && is_keyword(&word.to_uppercase()))
        );
        assert_eq!(KEYWORDS.iter().map(|word| word.len()).max(), Some(LONGEST));
        for name in [
            "",
            "name",
            "year",
            "status",
            "can_lossless_castle",
            "Schlüssel",
            "selec",
        ] {
            assert!(!is_keyword(name), "{name}");
        }
    }
}
