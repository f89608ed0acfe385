//! Calls to the bot, requests, and ordinary speech.

use proptest::prelude::*;

use super::*;

fn bot_names() -> BotNames {
    BotNames::new([
        "Jarvis",
        "トークバック",
        "Толкбэк",
        "Voice Helper",
        "Bo",
        "🎤",
    ])
}

fn find_request(text: &str) -> Option<String> {
    bot_names().find_request(text).map(|it| it.request)
}

#[test]
fn name_is_recognized_at_either_end() {
    for (text, request) in [
        (
            "Hey Talkback, remind us what we decided.",
            "remind us what we decided.",
        ),
        ("Talkback, what time is it?", "what time is it?"),
        ("Talkback what time is it", "what time is it"),
        ("talkback: what time is it?", "what time is it?"),
        ("Okay, so, um, Talkback. Who won?", "Who won?"),
        ("And Talkback, who lost?", "who lost?"),
        ("Good morning, Talkback! How are you?", "How are you?"),
        ("What time is it, Talkback?", "What time is it?"),
        ("What time is it Talkback", "What time is it"),
        ("Tell us more, Talkback.", "Tell us more."),
        ("Hey, tell us more, Talkback, please.", "tell us more."),
        ("¿Qué hora es, Talkback?", "¿Qué hora es?"),
        ("¿Talkback, qué hora es?", "qué hora es?"),
        ("Hallo Talkback, wie spät ist es?", "wie spät ist es?"),
        (
            "Salut Talkback, quelle heure est-il ?",
            "quelle heure est-il ?",
        ),
        ("Olá Talkback, que horas são?", "que horas são?"),
        ("Talkback", ""),
        ("Hey Talkback?", ""),
        ("“Talkback”", ""),
        ("Talkback, 3.5 plus 4?", "3.5 plus 4?"),
    ] {
        assert_eq!(find_request(text).as_deref(), Some(request), "{text}");
    }
}

#[test]
fn misheard_names_are_recognized_by_sound() {
    for text in [
        "Top Back, who won?",
        "Hey talk back, who won?",
        "Hey Talk-Back, who won?",
        "Tolkback, who won?",
        "Talk bag, who won?",
        "Hey tock back, who won?",
        "Talbac, who won?",
        "Talback, who won?",
        "Talkpack, who won?",
        "Talk Bach, who won?",
        "Tall back, who won?",
        "Hey TALK BACK who won?",
        "Who won, top back?",
        "Who won, talk bag?",
        "So who won, Talbac?",
        "Jervis, who won?",
        "Hey Voice Helper, who won?",
        "Voicehelper, who won?",
        "Voice Halper, who won?",
    ] {
        let request = find_request(text).unwrap_or_else(|| "not addressed".to_owned());
        assert_eq!(request.to_lowercase(), "who won?", "{text}");
    }
}

#[test]
fn ordinary_speech_is_not_a_wake_word() {
    for text in [
        "",
        "...",
        "talk about it later",
        "Talk about it later.",
        "back to the topic",
        "Back to the topic.",
        "I'll call back",
        "I will call back.",
        "Call back later.",
        "talk to you",
        "Talk to you later.",
        "Take back what you said.",
        "I took it back.",
        "We should take that back.",
        "He took back his words.",
        "Turn back now.",
        "Walk back home.",
        "Don't talk back to me.",
        "Talk back to him and you will see.",
        "He talked back.",
        "They dialed it back.",
        "There is a tailback on the motorway.",
        "The bag is on top.",
        "Top of the morning, back to work.",
        "I can't talk. Back then I could.",
        "Tell Becky to come.",
        "Tobacco is bad for you.",
        "We were talking about backups.",
        "I like Talkback.",
        "I asked Talkback.",
        "What is Talkback?",
        "Let us use Talkback for this.",
        "Talkback's answer was wrong, though.",
        "We had Talkback in here yesterday and it was fine.",
        "Bow to the king.",
        "But why?",
        "The service is down.",
        "Jars are on the shelf.",
        "Voices help her.",
        "Ich rufe zurück.",
        "トークは楽しい。",
        "トークバックは便利です。",
        "今日は寒いですね。",
    ] {
        assert_eq!(find_request(text), None, "{text}");
    }
}

#[test]
fn short_and_non_latin_names_need_an_exact_match() {
    for (text, request) in [
        ("Bo, who won?", Some("who won?")),
        ("Boo, who won?", None),
        ("Толкбэк, кто выиграл?", Some("кто выиграл?")),
        ("Толкбек, кто выиграл?", None),
        ("ねえトークバック、今何時ですか？", Some("今何時ですか？")),
        ("トークバックさん、今何時？", Some("今何時？")),
        ("今何時ですか、トークバック？", Some("今何時ですか？")),
        ("嘿Talkback，现在几点？", Some("现在几点？")),
        ("现在几点，Talkback？", Some("现在几点？")),
        ("ﾄｰｸﾊﾞｯｸ、今何時？", Some("今何時？")),
    ] {
        assert_eq!(find_request(text).as_deref(), request, "{text}");
    }
}

#[test]
fn name_in_the_middle_needs_a_greeting() {
    for (text, request) in [
        ("I agree. Hey Talkback, who won?", Some("who won?")),
        ("I agree. Okay, top back, who won?", Some("who won?")),
        ("I agree. Okay top back, who won?", Some("who won?")),
        ("yeah sure hey talkback who won", Some("who won")),
        ("I agree with Talkback that they won.", None),
        ("He said okay, talk back then, and left.", None),
    ] {
        assert_eq!(find_request(text).as_deref(), request, "{text}");
    }
}

#[test]
fn questions_and_requests_are_detected() {
    for text in [
        "What time is it?",
        "what is the capital of France",
        "So, how much is it",
        "We disagree. What's the plan then.",
        "Could you give me three tips for learning Rust.",
        "Can you hear me",
        "Tell us what we decided.",
        "Please summarize the meeting.",
        "Remind us what we decided about the release date.",
        "It's Monday, isn't it?",
        "Is it Monday? \"",
        "Wie spät ist es",
        "Was ist die Hauptstadt von Frankreich",
        "Kannst du das erklären",
        "Bitte erkläre das.",
        "Quelle heure est-il",
        "Qu'est-ce que c'est",
        "Explique-moi ça.",
        "Dis-moi tout.",
        "¿Dónde está la estación",
        "Cuánto cuesta",
        "Dime la hora.",
        "O que é isto",
        "Você pode repetir",
        "今何時ですか",
        "もう一度言ってください。",
        "どうして空は青いの",
        "现在几点",
        "这是什么",
        "你好吗",
        "告诉我为什么",
    ] {
        assert!(is_request(text), "{text}");
    }
}

#[test]
fn statements_are_not_requests() {
    for text in [
        "",
        "?",
        "I agree.",
        "When I was young, we had no phones.",
        "Which is nice.",
        "What a day.",
        "How nice of you.",
        "Give me a second.",
        "You know what I mean? It was great.",
        "I will write the release notes tomorrow.",
        "That is what I said.",
        "Was für ein Tag.",
        "Das war gut.",
        "Wie gesagt, das geht.",
        "C'est quand même bien.",
        "Que te vaya bien.",
        "Como es tarde, me voy.",
        "Quando chegar, eu ligo.",
        "そうですか。",
        "今日は寒いですね。",
        "我明天写。",
    ] {
        assert!(!is_request(text), "{text}");
    }
}

#[test]
fn request_text_is_not_in_debug_output() {
    let request = bot_names()
        .find_request("Talkback, secret words")
        .expect("the name was found");
    assert_eq!(format!("{request:?}"), "WakeWordRequest(12 bytes)");
}

/// Words without T or J sounds and without the other names.
const UNRELATED_TEXT: &str =
    "(apple|river|moon|seven|London|very|ok|hey|so|is|Haus|nimm|rouge|名|和){1}";

proptest! {
    #[test]
    fn any_text_does_not_panic(text in any::<String>()) {
        let _ = (bot_names().find_request(&text), is_request(&text));
    }

    #[test]
    fn any_text_around_a_name_does_not_panic(before in ".{0,20}", after in ".{0,20}") {
        let _ = bot_names().find_request(&format!("{before}Talkback{after}"));
        let _ = bot_names().find_request(&format!("{before} トークバック {after}"));
    }

    #[test]
    fn any_name_does_not_panic(name in any::<String>(), text in any::<String>()) {
        let _ = BotNames::new([&name]).find_request(&text);
        let _ = BotNames::new([&name]).find_request(&name);
    }

    #[test]
    fn unrelated_text_is_not_a_wake_word(
        words in proptest::collection::vec(UNRELATED_TEXT, 0..20),
        gap in "[ ,.?!-]{1,3}",
    ) {
        prop_assert_eq!(find_request(&words.join(&gap)), None);
    }

    #[test]
    fn text_after_the_name_is_the_request(request in "[a-s]{1,9}( [a-s]{1,9}){0,9}") {
        let found = find_request(&format!("Hey Talkback, {request}"));
        prop_assert_eq!(found, Some(request));
    }
}
