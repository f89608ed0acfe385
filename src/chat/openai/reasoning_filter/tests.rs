use proptest::prelude::*;

use super::*;

fn shown_text(filter: &mut ReasoningFilter, pieces: &[&str]) -> String {
    let mut output = Vec::new();
    for piece in pieces {
        filter.push(piece, &mut output);
    }
    filter.finish(&mut output);
    let mut shown = String::new();
    for output in output {
        match output {
            FilterOutput::Text(text) => shown.push_str(&text),
            FilterOutput::Retract => shown.clear(),
        }
    }
    shown
}

/// Filters an answer, and checks that filtering it character by character gives the same.
fn without_reasoning(answer: &str) -> String {
    let whole = shown_text(&mut ReasoningFilter::default(), &[answer]);
    let pieces: Vec<&str> = answer.split_inclusive(|_| true).collect();
    assert_eq!(
        shown_text(&mut ReasoningFilter::default(), &pieces),
        whole,
        "{answer}"
    );
    whole
}

#[test]
fn reasoning_is_removed() {
    for (answer, expected) in [
        ("<think>Hm.</think>Paris.", "Paris."),
        ("<think>\nHm.\n</think>\n\nParis.", "\n\nParis."),
        ("\n <THINK>a < b</Think>Paris.", "\n Paris."),
        ("<thinking>Hm</thinking>Paris.", "Paris."),
        ("<reasoning>Hm</reasoning>Paris.", "Paris."),
        ("<thought>Hm</thought>Paris.", "Paris."),
        ("[THINK]Hm[/THINK]Paris.", "Paris."),
        ("◁think▷Hm◁/think▷Paris.", "Paris."),
        (
            "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Paris.",
            "Paris.",
        ),
        ("Sure. <think>Hm</think>Paris.", "Sure. Paris."),
        ("One.\n<think>Hm</think>\nTwo.", "One.\n\nTwo."),
        ("<think>a</think><think>b</think>Paris.", "Paris."),
        (
            "<think>The tag \"</think>\" ends it.</think>Paris.",
            "Paris.",
        ),
        ("<think>Hm", ""),
        ("<think></think>", ""),
        ("Hm. Let me see.</think>Paris.", "Paris."),
        ("Hm.\n</think>\n\nParis.", "\n\nParis."),
        ("</think>Paris.", "Paris."),
        ("Hm.</thinking>Paris.", "Paris."),
        ("Hm.</think>", ""),
    ] {
        assert_eq!(without_reasoning(answer), expected, "{answer}");
    }
}

#[test]
fn mentioned_tags_are_kept() {
    for answer in [
        "Write `<think>` and `</think>`.",
        "Write ``a ` <think>`` here.\n\nParis.",
        "```xml\n<think>\nHm\n</think>\n```\nThat is all.",
        "~~~\n</think>\n~~~",
        "````\n```\n</think>\n```\n````",
        "The tag \"<think>\" begins, and '</think>' ends it.",
        "The <think> tag begins, and the </think> tag ends it.",
        "a < b, [1], <b>bold</b>, <thin>, </thin",
        "It ends with <thi",
        "So it begins:\n<think> is a tag that I don't close.",
        "◁ is a triangle, ` is a mark, ``` are three",
    ] {
        assert_eq!(without_reasoning(answer), answer);
    }
}

#[test]
fn an_unclosed_code_span_ends_with_its_paragraph() {
    assert_eq!(
        without_reasoning("A ` alone.\n\nHm.</think>Paris."),
        "Paris."
    );
}

#[test]
fn known_models_need_no_retraction() {
    let mut output = Vec::new();
    let mut filter = ReasoningFilter::for_closing_tags_only();
    filter.push("Hm. </thi", &mut output);
    assert_eq!(output, []);
    filter.push("nk>Par", &mut output);
    assert_eq!(output, [FilterOutput::Text("Par".to_owned())]);
    let mut filter = ReasoningFilter::for_closing_tags_only();
    assert_eq!(
        shown_text(&mut filter, &["No", " thoughts."]),
        "No thoughts."
    );
    let mut filter = ReasoningFilter::for_closing_tags_only();
    assert_eq!(
        shown_text(&mut filter, &["<think>Hm</think>", "Par"]),
        "Par"
    );
}

proptest! {
    #[test]
    fn splits_make_no_difference(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "<think>", "</think>", "<thinking>", "</reasoning>", "`", "```", "\n", "\n\n", "a ",
                "<", "\"", "[THINK]", "◁", "/think▷", "é. ", "~~~",
            ]),
            0..24,
        ),
        cuts in prop::collection::vec(any::<bool>(), 200),
    ) {
        let answer = parts.concat();
        let mut pieces = vec![String::new()];
        for (c, cut) in answer.chars().zip(cuts.iter().cycle()) {
            if *cut {
                pieces.push(String::new());
            }
            pieces.last_mut().expect("one").push(c);
        }
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let whole = shown_text(&mut ReasoningFilter::default(), &[&answer]);
        prop_assert_eq!(shown_text(&mut ReasoningFilter::default(), &pieces), whole);
    }
}
