//! The dialect that queries are read in.

use std::any::TypeId;

use sqlparser::ast::{Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::rewrite::call;

/// DataFusion's default dialect, `GenericDialect`, with a few changes, so that whatever DataFusion users write parses.
///
/// `RedshiftSqlDialect` is not the base, because it reads `[a]` as a quoted name (DataFusion: an array) and a backslash
/// within quotes as an escape (the standard: itself). Statements of Redshift that `sqlparser` cannot read are parsed
/// by this module.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BlueshiftDialect {
    /// Whether FOR SYSTEM_TIME AS OF is read behind a table. `sqlparser` then reads AT, BEFORE and CHANGES there, too, which
    /// are names elsewhere: it is for texts that say FOR SYSTEM_TIME.
    pub(super) table_versions: bool,
}

/// Operators that PostgreSQL gives no precedence of their own (its manual, "Operator Precedence").
fn is_other(token: &Token) -> bool {
    matches!(
        token,
        Token::StringConcat
            | Token::Pipe
            | Token::Ampersand
            | Token::Sharp
            | Token::ShiftLeft
            | Token::ShiftRight
            | Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
    )
}

impl BlueshiftDialect {
    /// Of [`is_other`]'s: below addition, above comparisons.
    fn prec_other(self) -> u8 {
        self.prec_value(Precedence::PlusMinus) - 1
    }
}

macro_rules! as_generic {
    ($($method:ident)*) => { $(fn $method(&self) -> bool { GenericDialect.$method() })* };
}

impl Dialect for BlueshiftDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    /// `@x` is the absolute value of `x`.
    fn is_identifier_start(&self, ch: char) -> bool {
        ch != '@' && GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    /// `x NOT NULL` is no operator: NOT NULL after a column's DEFAULT would become part of the expression. `^` is the
    /// power, which binds closer than multiplication. Operators that are neither arithmetic nor comparisons bind all
    /// alike, as in PostgreSQL.
    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if parser.peek_token_ref().token == Token::Caret {
            return Some(Ok(self.prec_value(Precedence::MulDivModOp) + 1));
        }
        if is_other(&parser.peek_token_ref().token) {
            return Some(Ok(self.prec_other()));
        }
        let is = |n, keyword| matches!(&parser.peek_nth_token_ref(n).token, Token::Word(w) if w.keyword == keyword);
        (is(0, Keyword::NOT) && is(1, Keyword::NULL)).then(|| Ok(self.prec_unknown()))
    }

    fn supports_table_versioning(&self) -> bool {
        self.table_versions
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        GenericDialect.prec_value(prec)
    }

    /// PostgreSQL's operators before their operand.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let name = match parser.peek_token_ref().token {
            Token::PGSquareRoot => Some("sqrt"),
            Token::PGCubeRoot => Some("cbrt"),
            Token::AtSign => Some("abs"),
            Token::Tilde => None,
            _ => return None,
        };
        let operator = parser.next_token().span;
        let operand = parser.parse_subexpr(self.prec_other());
        Some(operand.map(|operand| match name {
            Some(name) => call(name, vec![operand], operator),
            None => Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: Box::new(operand) },
        }))
    }

    // Not taken over: comments that MySQL executes, and Oracle's q'[…]', which Redshift reads as ordinary text.
    as_generic! {
        supports_unicode_string_literal supports_partition_by_after_order_by supports_array_join_syntax
        supports_group_by_expr supports_group_by_with_modifier supports_left_associative_joins_without_parens
        supports_connect_by supports_match_recognize supports_pipe_operator supports_start_transaction_modifier
        supports_window_function_null_treatment_arg supports_dictionary_syntax
        supports_window_clause_named_window_reference supports_parenthesized_set_variables
        supports_select_wildcard_except support_map_literal_syntax allow_extract_custom allow_extract_single_quotes
        supports_extract_comma_syntax supports_create_view_comment_syntax supports_parens_around_table_factor
        supports_values_as_table_factor supports_create_index_with_clause supports_explain_with_utility_options
        supports_limit_comma supports_update_order_by supports_from_first_select
        supports_projection_trailing_commas supports_asc_desc_in_column_definition supports_try_convert
        supports_bitwise_shift_operators supports_comment_on supports_load_extension
        supports_named_fn_args_with_assignment_operator supports_struct_literal supports_empty_projections
        supports_nested_comments supports_user_host_grantee supports_string_escape_constant
        supports_array_typedef_with_brackets supports_match_against supports_set_names
        supports_comma_separated_set_assignments supports_filter_during_aggregation
        supports_select_wildcard_exclude supports_data_type_signed_suffix supports_interval_options
        supports_select_wildcard_replace supports_select_wildcard_ilike supports_select_wildcard_rename
        supports_optimize_table supports_install supports_detach supports_prewhere supports_with_fill
        supports_limit_by supports_interpolate supports_settings supports_select_format
        supports_comment_optimizer_hint supports_constraint_keyword_without_name supports_key_column_option
        supports_comma_separated_trim supports_cte_without_as supports_select_item_multi_column_alias
        supports_xml_expressions
    }

    /// `CONVERT(type, x)`
    fn convert_type_before_value(&self) -> bool {
        true
    }

    /// `a = b(+)` is read, to be refused by name.
    fn supports_outer_join_operator(&self) -> bool {
        true
    }

    /// Redshift's `SELECT TOP n DISTINCT …`.
    fn supports_top_before_distinct(&self) -> bool {
        true
    }

    /// Redshift continues a string after a newline: `'a' 'b'` on two lines is `'ab'`.
    fn supports_string_literal_concatenation_with_newline(&self) -> bool {
        true
    }
}
