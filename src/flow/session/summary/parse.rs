//! Parses a model's answer leniently: the lists it was asked for, or JSON if it returns that.

use serde_json::Value;

use super::{MAX_CITATIONS, MAX_ITEMS};

/// Items of a kind beyond this are ignored.
const MAX_PARSED_ITEMS: usize = MAX_ITEMS * 4;

/// Longer ranges of line numbers count only as their first and last line.
const MAX_RANGE: u32 = 20;

/// A parsed answer, before its citations are checked.
#[derive(Default)]
pub(super) struct SummaryDraft {
    pub(super) topics: Vec<DraftItem>,
    pub(super) decisions: Vec<DraftItem>,
    pub(super) actions: Vec<DraftItem>,
}

#[derive(Default)]
pub(super) struct DraftItem {
    /// Text without the citations.
    pub(super) text: String,
    /// Set if the model gives the owner apart from the text.
    pub(super) owner: Option<String>,
    pub(super) cites: Vec<u32>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum SummarySection {
    Topics,
    Decisions,
    Actions,
}

/// Section names, matched by prefix. Where one name is a prefix of another, the longer one comes
/// first.
const SECTIONS: [(SummarySection, &str); 3] = [
    (
        SummarySection::Actions,
        "action, to do, to-do, todo, task, next step, aufgabe, nächste schritte, tâche, prochaines \
         étapes, accion, tarea, próximos pasos, ações, ação, tarefa, próximos passos, アクション, \
         タスク, 行动, 行動, 待办, 待辦, 任务",
    ),
    (
        SummarySection::Decisions,
        "decision, decided, entscheidung, beschl, décision, decisi, decisõ, 決定, 决定",
    ),
    (
        SummarySection::Topics,
        "topic, theme, subject, discussed, summary, themen, thema, zusammenfassung, sujet, thème, \
         tema, tópico, resum, トピック, 話題, 议题, 話题, 主题, 主題",
    ),
];

/// What models write instead of an empty list.
const EMPTY_LIST_PHRASES: &str = "none, nothing, n/a, no decisions, no actions, no topics, keine, nichts, aucune, \
    aucun, ninguna, ninguno, nenhuma, nenhum, なし, 无, 無";

impl SummaryDraft {
    fn items_mut(&mut self, section: SummarySection) -> &mut Vec<DraftItem> {
        match section {
            SummarySection::Topics => &mut self.topics,
            SummarySection::Decisions => &mut self.decisions,
            SummarySection::Actions => &mut self.actions,
        }
    }

    fn push(&mut self, section: SummarySection, point: DraftItem) {
        let points = self.items_mut(section);
        if points.len() < MAX_PARSED_ITEMS {
            points.push(point);
        }
    }
}

/// Parses an answer. Never fails: text that can't be parsed yields no items.
pub(super) fn parse_answer(answer: &str) -> SummaryDraft {
    parse_json(answer).unwrap_or_else(|| parse_lists(answer))
}

fn parse_lists(answer: &str) -> SummaryDraft {
    let mut draft = SummaryDraft::default();
    let mut section = SummarySection::Topics;
    for whole in answer.lines() {
        let line = strip_markup(whole);
        if line.is_empty() {
            continue;
        }
        let (text, cites) = extract_citations(line);
        let text = match split_section_heading(&text) {
            Some((named, "")) if cites.is_empty() => {
                section = named;
                continue;
            }
            Some((named, rest)) if !rest.is_empty() => {
                section = named;
                rest.to_owned()
            }
            _ => text,
        };
        if text.is_empty() && whole.trim_start().starts_with(['[', '【']) {
            // Citations that wrapped to a line of their own.
            if let Some(last) = draft.items_mut(section).last_mut() {
                last.cites.extend(cites);
                last.cites.truncate(MAX_CITATIONS);
            }
        } else if !is_empty_list_phrase(&text) {
            let owner = None;
            draft.push(section, DraftItem { text, owner, cites });
        }
    }
    draft
}

/// Whether the text only says that a list is empty.
fn is_empty_list_phrase(text: &str) -> bool {
    let text = text
        .trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase();
    EMPTY_LIST_PHRASES
        .split(',')
        .any(|nothing| nothing.trim() == text)
}

/// Strips the markup of headings, lists and emphasis.
fn strip_markup(line: &str) -> &str {
    let line = line.trim();
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let line = match number.strip_prefix(['.', ')']) {
        Some(rest) if number.len() < line.len() && rest.starts_with(' ') => rest,
        _ => line,
    };
    let marks = |c: char| c.is_whitespace() || "#*_>-–—•·`".contains(c);
    let line = line.trim_start_matches(marks);
    line.trim_end_matches(|c: char| c.is_whitespace() || "*_`".contains(c))
}

/// The section that a line names, and the text after it: "Topics", "Decisions: none".
fn split_section_heading(text: &str) -> Option<(SummarySection, &str)> {
    let (name, rest) = match text.split_once([':', '：']) {
        Some((name, rest)) => (name, rest.trim_matches(|c: char| "*_ ".contains(c))),
        None => (text, ""),
    };
    let name = name.trim_matches(|c: char| "*_ ".contains(c));
    // A heading is short; a sentence may begin with the same word.
    if name.split_whitespace().count() > 4 {
        return None;
    }
    let name = name.to_lowercase();
    let found = SECTIONS.iter().find(|(_, names)| {
        let mut names = names.split(',').map(str::trim);
        names.any(|known| name.starts_with(known))
    });
    found.map(|(section, _)| (*section, rest))
}

/// Splits off the citations: `[12]`, `[3, 5]`, `[7-9]`, `[line 4]`.
fn extract_citations(text: &str) -> (String, Vec<u32>) {
    let mut plain = String::with_capacity(text.len());
    let mut cites = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['[', '【']) {
        let (before, from) = rest.split_at(open);
        plain.push_str(before);
        let inside_from = from.chars().next().map_or(0, char::len_utf8);
        let inside = from[inside_from..]
            .split_once([']', '】'])
            .and_then(|(inside, behind)| Some((parse_line_numbers(inside)?, behind)));
        match inside {
            Some((found, behind)) => {
                cites.extend(found);
                rest = behind;
            }
            None => {
                plain.push_str(&from[..inside_from]);
                rest = &from[inside_from..];
            }
        }
    }
    plain.push_str(rest);
    cites.truncate(MAX_CITATIONS);
    let words: Vec<&str> = plain.split_whitespace().collect();
    let text = words.join(" ");
    // Remove what enclosed only the citations.
    let text = match text.rsplit_once('(') {
        Some((before, inside)) if !inside.contains(char::is_alphanumeric) => before,
        _ => &text,
    };
    let text = text.trim_end_matches([' ', ',', ';', '–', '-']);
    // Clean up where citations stood before a full stop or comma, and emphasis marks.
    let text = text.replace(" .", ".").replace(" ,", ",").replace("**", "");
    (text, cites)
}

/// `None` if the brackets hold anything but line numbers.
fn parse_line_numbers(inside: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in inside.split([',', ';', '、', '，']) {
        let part = part.trim().to_lowercase();
        let part = ["lines", "line", "l.", "nr.", "no.", "#"]
            .iter()
            .find_map(|word| part.strip_prefix(word))
            .unwrap_or(&part)
            .trim();
        match part.split_once(['-', '–']) {
            None => numbers.push(part.parse().ok()?),
            Some((first, last)) => {
                let last = last.trim().trim_start_matches('[');
                let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.parse().ok()?);
                if last.checked_sub(first)? <= MAX_RANGE {
                    numbers.extend(first..=last);
                } else {
                    numbers.extend([first, last]);
                }
            }
        }
        if numbers.len() > MAX_CITATIONS {
            break;
        }
    }
    Some(numbers)
}

/// Parses the answer as JSON, if it contains an object with one of the lists.
fn parse_json(answer: &str) -> Option<SummaryDraft> {
    let (from, to) = (answer.find('{')?, answer.rfind('}')?);
    let value: Value = serde_json::from_str(answer.get(from..=to)?).ok()?;
    let mut draft = SummaryDraft::default();
    let mut known = false;
    for (key, value) in value.as_object()? {
        if let (Some((section, _)), Some(points)) = (split_section_heading(key), value.as_array()) {
            known = true;
            for value in points.iter().take(MAX_PARSED_ITEMS) {
                draft.push(section, parse_item(value));
            }
        }
    }
    known.then_some(draft)
}

fn parse_item(value: &Value) -> DraftItem {
    if let Some(text) = value.as_str() {
        let (text, cites) = extract_citations(text);
        return DraftItem {
            text,
            owner: None,
            cites,
        };
    }
    let first = |keys: &[&str]| keys.iter().find_map(|key| value.get(key));
    let keys = [
        "text",
        "topic",
        "decision",
        "action",
        "task",
        "what",
        "description",
        "title",
    ];
    let said = first(&keys).and_then(Value::as_str).unwrap_or_default();
    let (text, mut cites) = extract_citations(said);
    match first(&[
        "lines",
        "line",
        "cites",
        "citations",
        "sources",
        "references",
    ]) {
        Some(Value::Array(values)) => cites.extend(values.iter().filter_map(parse_line_number)),
        Some(value) => cites.extend(parse_line_number(value)),
        None => {}
    }
    cites.truncate(MAX_CITATIONS);
    DraftItem {
        text,
        owner: first(&["owner", "who", "assignee", "person", "responsible"])
            .and_then(Value::as_str)
            .map(str::to_owned),
        cites,
    }
}

fn parse_line_number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text
            .trim_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok(),
        _ => None,
    }
}
