//! Rewrites masked links so that they show their target.
//!
//! Which text Discord takes for a link depends on the client. So instead of parsing links from
//! their `[`, every `](` that could be the middle of one is separated, whatever precedes it. The
//! result contains no such middle, so no client can find a masked link in it.

/// URL schemes that need no `//`.
const BARE_SCHEMES: [&str; 6] = ["mailto:", "tel:", "sms:", "steam:", "discord:", "data:"];

/// Rewrites `[text](https://…)` to `text (https://…)`, and anything more complex to `[text] (…`.
pub(super) fn unmask_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(middle) = find_link_middle(rest) {
        let (before, after) = (&rest[..middle.start], &rest[middle.end..]);
        if is_harmless_target(after) {
            plain.push_str(&rest[..middle.end]);
            rest = after;
            continue;
        }
        match (split_label(before), split_url(after)) {
            (Some((lead, label)), Some((address, left))) => {
                plain.push_str(lead);
                if label != address {
                    plain.push_str(label);
                    plain.push(' ');
                }
                plain.push_str(&format!("({address}"));
                rest = left;
                if label == address {
                    // The parentheses would say nothing.
                    let start = plain.len() - address.len() - 1;
                    plain.remove(start);
                    rest = rest.strip_prefix(')').unwrap_or(rest);
                }
            }
            _ => {
                plain.push_str(before);
                plain.push_str("] (");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Separates link middles without changing the length, for text that was already split to a limit.
pub(super) fn unmask_links_in_place(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(middle) = find_link_middle(rest) {
        let after = &rest[middle.end..];
        if is_harmless_target(after) {
            plain.push_str(&rest[..middle.end]);
        } else {
            plain.push_str(&rest[..middle.end - 1]);
            plain.push(' ');
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// The next `](`, including invisible characters between the two.
fn find_link_middle(text: &str) -> Option<std::ops::Range<usize>> {
    text.match_indices(']').find_map(|(start, _)| {
        let after = text[start + 1..].trim_start_matches(is_invisible);
        let end = text.len() - after.len() + 1;
        after.starts_with('(').then_some(start..end)
    })
}

/// Whether the parentheses contain no URL: an index, an argument, a remark.
fn is_harmless_target(after: &str) -> bool {
    let Some((inside, _)) = after.split_once(')') else {
        return false;
    };
    inside
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " ,_+-*=".contains(c))
}

/// Splits off the label, if it is a simple one, from the text before it.
fn split_label(before: &str) -> Option<(&str, &str)> {
    let open = before.rfind('[')?;
    let (lead, label) = (&before[..open], &before[open + 1..]);
    // Without its bracket, such a label would form the middle of another link.
    let begins_one = label.trim_start_matches(is_invisible).starts_with('(');
    let simple = !label.trim().is_empty() && !begins_one && !label.contains([']', '\n', '\\', '`']);
    (simple && !lead.ends_with('\\')).then_some((lead, label))
}

/// Splits the URL, if it is a simple one, from the text after it.
fn split_url(after: &str) -> Option<(&str, &str)> {
    let (inside, _) = after.split_once(')')?;
    let left = &after[inside.len()..];
    let inside = inside.trim();
    let address = match inside.strip_prefix('<') {
        Some(inside) => inside.strip_suffix('>')?.trim(),
        None => inside,
    };
    let simple = !address.contains(|c: char| {
        c.is_whitespace() || is_invisible(c) || "<>()[]\\\"'`*_~|".contains(c) && c != '_'
    });
    (simple && has_scheme(address)).then_some((address, left))
}

fn has_scheme(address: &str) -> bool {
    let small = address.to_ascii_lowercase();
    let scheme = small.split(':').next().unwrap_or_default();
    let is_name = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_name
        && (small[scheme.len()..].starts_with("://")
            || BARE_SCHEMES.iter().any(|it| small.starts_with(it)))
}

/// Characters without width.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_links_show_their_target() {
        for (said, shown) in [
            (
                "see [docs](https://x.org/a)!",
                "see docs (https://x.org/a)!",
            ),
            (
                "[bank]( https://evil.example)",
                "bank (https://evil.example)",
            ),
            (
                "[bank](HTTPS://evil.example)",
                "bank (HTTPS://evil.example)",
            ),
            (
                "[bank](< https://evil.example >)",
                "bank (https://evil.example)",
            ),
            (
                "[bank](<https://evil.example>)",
                "bank (https://evil.example)",
            ),
            (
                "[bank](discord://-/channels/1)",
                "bank (discord://-/channels/1)",
            ),
            ("[bank](steam://run/1)", "bank (steam://run/1)"),
            (
                "[bank](mailto:a@evil.example)",
                "bank (mailto:a@evil.example)",
            ),
            ("[bank](tel:+1900)", "bank (tel:+1900)"),
            ("[bank](SMS:+1900)", "bank (SMS:+1900)"),
            (
                "[bank](\nhttps://evil.example\n)",
                "bank (https://evil.example)",
            ),
            (
                "[bank](https://evil.example \"a title\")",
                "[bank] (https://evil.example \"a title\")",
            ),
            (
                "[a [b] c](https://evil.example)",
                "[a [b] c] (https://evil.example)",
            ),
            (
                "[a \\] c](https://evil.example)",
                "[a \\] c] (https://evil.example)",
            ),
            (
                "\\[bank](https://evil.example)",
                "\\[bank] (https://evil.example)",
            ),
            (
                "[bank\\](https://evil.example)",
                "[bank\\] (https://evil.example)",
            ),
            (
                "[a\nb](https://evil.example)",
                "[a\nb] (https://evil.example)",
            ),
            (
                "[bank](https\\://evil.example)",
                "[bank] (https\\://evil.example)",
            ),
            ("[bank](evil.example/x)", "[bank] (evil.example/x)"),
            ("[bank](//evil.example)", "[bank] (//evil.example)"),
            (
                "[bank](\u{200b}https://evil.example)",
                "[bank] (\u{200b}https://evil.example)",
            ),
            (
                "[bank]\u{2060}(https://evil.example)",
                "bank (https://evil.example)",
            ),
            (
                "[bank](https://evil.example",
                "[bank] (https://evil.example",
            ),
            (
                "[bank](https://evil.example/(a))",
                "[bank] (https://evil.example/(a))",
            ),
            (
                "[https://bank.example](https://evil.example)",
                "https://bank.example (https://evil.example)",
            ),
            ("[https://x.org](https://x.org)", "https://x.org"),
            (
                "[**bank**](https://evil.example)",
                "**bank** (https://evil.example)",
            ),
            (
                "[a](https://x.org) [b](https://y.org)",
                "a (https://x.org) b (https://y.org)",
            ),
        ] {
            assert_eq!(unmask_links(said), shown);
            assert_eq!(unmask_links(shown), shown, "it is done once");
            let kept = unmask_links_in_place(said);
            assert_eq!(kept.chars().count(), said.chars().count());
            assert_eq!(find_link_middle(&kept), None);
        }
    }

    #[test]
    fn text_without_masked_links_is_unchanged() {
        for text in [
            "a[i](j) = [0], f[1]() and (this) [that]",
            "https://x.org/a_(b) <https://x.org> [1] (https://x.org)",
            "[ ] to do\n[x] done",
            "[ref]: https://x.org",
        ] {
            assert_eq!(unmask_links(text), text);
        }
    }
}
