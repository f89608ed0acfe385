//! A test oracle: Discord's Markdown as far as links and pings go, written from its client's rules
//! and independent of the code under test. Where clients differ, it finds a link.

/// The masked links in a text, as label and URL.
pub(super) fn masked_links(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    scan_blocks(&chars, 0, &mut found);
    found
}

/// Maximum nesting depth.
const MAX_DEPTH: usize = 12;

/// Strips quotes, headings and lists, which go by lines, and scans their content.
fn scan_blocks(text: &[char], depth: usize, found: &mut Vec<(String, String)>) {
    if depth > MAX_DEPTH {
        return;
    }
    let mut at = 0;
    let mut plain = 0;
    // A block begins only at a line start outside of other constructs.
    while at < text.len() {
        let starts = at == 0 || text[at - 1] == '\n';
        if starts && let Some((inside, end)) = parse_block(&text[at..]) {
            scan_inline(&text[plain..at], depth, found);
            scan_blocks(&inside, depth + 1, found);
            at += end;
            plain = at;
            continue;
        }
        at += inline_step(text, at, depth, &mut None);
    }
    scan_inline(&text[plain..], depth, found);
}

/// A block at the start of a text: its content, and where it ends.
fn parse_block(text: &[char]) -> Option<(Vec<char>, usize)> {
    let line_end = |from: usize| {
        text[from..]
            .iter()
            .position(|c| *c == '\n')
            .map_or(text.len(), |at| from + at)
    };
    let starts = |at: usize, what: &str| {
        what.chars()
            .enumerate()
            .all(|(i, c)| text.get(at + i) == Some(&c))
    };
    let spaces = text.iter().take_while(|c| **c == ' ').count();
    if starts(spaces, ">>> ") {
        return Some((text[spaces + 4..].to_vec(), text.len()));
    }
    if starts(spaces, "> ") {
        let (mut inside, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let spaces = text[at..].iter().take_while(|c| **c == ' ').count();
            if !starts(at + spaces, "> ") {
                break;
            }
            let end = line_end(at);
            inside.extend(&text[at + spaces + 2..end]);
            inside.push('\n');
            at = (end + 1).min(text.len());
        }
        return Some((inside, at));
    }
    for mark in ["# ", "## ", "### ", "-# "] {
        if starts(spaces, mark) {
            let end = line_end(0);
            return Some((text[spaces + mark.len()..end].to_vec(), end));
        }
    }
    if starts(spaces, "- ") || starts(spaces, "* ") || starts(spaces, "1. ") {
        // It continues while lines are indented or are items.
        let mut end = line_end(0);
        while end < text.len() {
            let next = end + 1;
            let goes_on = starts(next, " ") || starts(next, "- ") || starts(next, "* ");
            if !goes_on {
                break;
            }
            end = line_end(next);
        }
        let mark = if starts(spaces, "1. ") { 3 } else { 2 };
        let inside: String = text[spaces + mark..end].iter().collect();
        let lines: Vec<&str> = inside.split('\n').map(str::trim_start).collect();
        return Some((lines.join("\n").chars().collect(), end));
    }
    None
}

fn scan_inline(text: &[char], depth: usize, found: &mut Vec<(String, String)>) {
    if depth > MAX_DEPTH {
        return;
    }
    let mut at = 0;
    while at < text.len() {
        at += inline_step(text, at, depth, &mut Some(&mut *found));
    }
}

/// The length of the construct at `at`. Scans its content if `found` is given.
fn inline_step(
    text: &[char],
    at: usize,
    depth: usize,
    found: &mut Option<&mut Vec<(String, String)>>,
) -> usize {
    let rest = &text[at..];
    let run = |c: char| rest.iter().take_while(|it| **it == c).count();
    match rest[0] {
        '\\' if rest
            .get(1)
            .is_some_and(|c| !c.is_alphanumeric() && !c.is_whitespace()) =>
        {
            2
        }
        '`' => code_len(rest).unwrap_or(1),
        '<' => autolink_len(rest).unwrap_or(1),
        'h' | 'H' => bare_url_len(rest).unwrap_or(1),
        '[' => match parse_masked_link(rest) {
            Some((label, target, length)) => {
                if let Some(found) = found {
                    found.push((label, target));
                }
                length
            }
            None => 1,
        },
        c @ ('*' | '_' | '~' | '|') => {
            let width = match (c, run(c)) {
                ('*' | '_', 1) => 1,
                (_, 2..) => 2,
                _ => return 1,
            };
            let close: Vec<char> = vec![c; width];
            let inside = &rest[width..];
            let end = (1..inside.len()).find(|end| inside[*end..].starts_with(&close));
            match end {
                Some(end) => {
                    if let Some(found) = found {
                        scan_inline(&inside[..end], depth + 1, found);
                    }
                    end + 2 * width
                }
                None => 1,
            }
        }
        _ => 1,
    }
}

/// ```` ^```(?:([a-z0-9_+\-.#]+?)\n)?\n*([^\n][^]*?)\n*``` ````, then
/// ``^(`+)([^]*?[^`])\1(?!`)``.
fn code_len(rest: &[char]) -> Option<usize> {
    let fence = ['`'; 3];
    if rest.starts_with(&fence) {
        let inside = &rest[3..];
        let blank = inside.iter().take_while(|c| **c == '\n').count();
        let close = (blank + 1..inside.len()).find(|at| inside[*at..].starts_with(&fence));
        if let Some(close) = close {
            return Some(close + 6);
        }
    }
    let most = rest.iter().take_while(|c| **c == '`').count();
    for run in (1..=most).rev() {
        let close = vec!['`'; run];
        let end = (run + 1..rest.len()).find(|at| {
            rest[*at..].starts_with(&close)
                && rest.get(at + run) != Some(&'`')
                && rest[at - 1] != '`'
        });
        if let Some(end) = end {
            return Some(end + run);
        }
    }
    None
}

/// `^<([^: >]+:\/[^ >]+)>`
fn autolink_len(rest: &[char]) -> Option<usize> {
    let end = rest.iter().position(|c| *c == '>' || *c == ' ')?;
    let inside: String = rest[1..end].iter().collect();
    let (scheme, address) = inside.split_once(':')?;
    (rest[end] == '>' && !scheme.is_empty() && address.starts_with('/') && address.len() > 1)
        .then_some(end + 1)
}

/// `^https?:\/\/[^\s<]+[^<.,:;"')\]\s]`
fn bare_url_len(rest: &[char]) -> Option<usize> {
    let end = rest.iter().position(|c| c.is_whitespace() || *c == '<');
    let word = &rest[..end.unwrap_or(rest.len())];
    let small: String = word.iter().collect::<String>().to_lowercase();
    if !small.starts_with("http://") && !small.starts_with("https://") {
        return None;
    }
    let end = word.iter().rposition(|c| !".,:;\"')]".contains(*c))?;
    (end > 8).then_some(end + 1)
}

/// `[label](target)` in any spelling, as long as the target has a scheme or looks like an address.
fn parse_masked_link(rest: &[char]) -> Option<(String, String, usize)> {
    let middle = (1..rest.len()).find(|at| rest[*at..].starts_with(&[']', '(']))?;
    let inside: Vec<char> = rest[middle + 2..].to_vec();
    let end = inside.iter().position(|c| *c == ')')?;
    let target: String = inside[..end].iter().collect();
    let target = target.replace('\\', "").to_lowercase();
    let leads = target.contains(':') || target.contains("//") || target.contains('.');
    let label: String = rest[1..middle].iter().collect();
    leads.then(|| (label, target, middle + 2 + end + 1))
}

/// Whether a text contains a mention outside of code.
pub(super) fn contains_ping(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let rest: String = chars[at..].iter().take(12).collect();
        if ["@everyone", "@here", "<@", "<#"]
            .iter()
            .any(|it| rest.starts_with(it))
        {
            return true;
        }
        at += match chars[at] {
            '`' => code_len(&chars[at..]).unwrap_or(1),
            '\\' => 2,
            _ => 1,
        };
    }
    false
}

#[test]
fn finds_the_links_that_discord_shows() {
    for (text, number) in [
        ("[a](https://x)", 1),
        ("**[a]( <https://x> )**", 1),
        ("> - ||[a](HTTPS://x \"t\")||", 1),
        ("`[a](https://x)`", 0),
        ("```\n[a](https://x)\n```", 0),
        ("\\```[a](https://x)```", 1),
        ("**x `y** [a](https://x) `", 1),
        ("> ```\n[a](https://x)\n```", 1),
        ("- x ```\n[a](https://x)\n```", 1),
        ("[x `](https://x) y`", 1),
        ("https://x/` [a](https://x) `", 1),
        ("\\[a](https://x)", 0),
    ] {
        assert_eq!(masked_links(text).len(), number, "{text}");
    }
}
