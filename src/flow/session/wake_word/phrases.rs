//! Phrases for the detection of calls and requests, separated by commas. Accents, case and hyphens
//! do not matter.

/// Greetings that may precede the name.
pub(super) const GREETINGS: &str = "hey, hi, hello, hej, yo, oi, ok, okay, ey, hiya, good morning, \
    good evening, good afternoon, hallo, moin, servus, guten Morgen, guten Tag, guten Abend, salut, \
    bonjour, bonsoir, coucou, hola, buenas, buenos días, olá, ねえ, ねぇ, ねー, おい, もしもし, \
    こんにちは, 嘿, 喂, 你好, 嗨";

/// Hesitations and other fillers before a request.
pub(super) const FILLERS: &str = "so, um, uh, uhm, umm, uhh, er, erm, hm, hmm, ah, oh, and, but, \
    well, now, right, yeah, yes, no, please, all right, alright, excuse me, also, äh, ähm, und, ja, \
    nein, na, bitte, euh, alors, et, oui, bon, eh, este, bueno, pues, y, sí, então, e, sim, あの, \
    えっと, ええと, じゃあ, 那个, 那, 请问, 請問";

/// Courtesies after the name.
pub(super) const COURTESIES: &str = "please, thanks, thank you, bitte, danke, s'il te plaît, \
    s'il vous plaît, merci, por favor, gracias, obrigado, obrigada, お願い, お願いします, 谢谢";

/// Honorifics that are attached to a name.
pub(super) const HONORIFICS: &str = "さん, くん, ちゃん";

/// Particles after a name that make it a topic instead of an address.
pub(super) const TOPIC_PARTICLES: &str = "は, が, の, を";

/// Words before a name that show it is only mentioned.
pub(super) const MENTION_PREFIXES: &str = "a, an, the, our, my, your, this, that, to, with, about, of, on, in, \
    for, from, by, via, than, is, was, use, using, used, like, love, hate, ask, asked, call, called, \
    named, mit, von, über, der, die, das, le, la, de, con";

/// Words after a match by sound that make it ordinary speech: "talk back to".
pub(super) const PHRASE_CONTINUATIONS: &str = "to, at, and forth";

/// Question words, each list with the words that must follow.
pub(super) const QUESTION_OPENERS: [(&str, &str); 5] = [
    (
        "what, who, where, when, why, how",
        "is, are, was, were, do, does, did, can, could, would, will, should, has, have, time, much, \
         many, long, far, old, about",
    ),
    (
        "was, wer, wo, wann, warum, wieso, wie, welche, welcher, welches",
        "ist, sind, war, waren, kann, können, soll, sollen, hat, haben, heißt, macht, machen, viel, \
         viele, lange, spät, oft, wird, wurde, bedeutet, geht, kommt, gibt",
    ),
    (
        "qui, où, quand, pourquoi, comment, combien, quel, quelle, quels, quelles",
        "est, sont, était, coûte, fait, font, peut, heure, s'appelle, de",
    ),
    (
        "quién, dónde, cuánto, cuántos, cuál, qué",
        "está, están, era, hora, cuesta, hay, fue, significa",
    ),
    (
        "o que, quem, onde, quanto, quantos, qual",
        "é, são, era, está, estão, foi, fica, custa, significa, horas",
    ),
];

/// Phrases that begin a request if any text follows.
pub(super) const REQUEST_OPENERS: &str = "what's, who's, where's, how's, when's, how come, which one, \
    which of, can you, could you, would you, will you, do you know, is there, are there, \
    does anyone know, tell me, tell us, explain, summarize, summarise, remind me, remind us, \
    give me a summary, give us a summary, give me an overview, give us an overview, show me, \
    show us, list the, translate, define, describe, calculate, compare, help me, help us, look up, \
    kannst du, könntest du, können Sie, könnten Sie, gibt es, sag mir, sag uns, erklär, erkläre, \
    fass, fasse, nenn, nenne, zeig, zeige, übersetz, übersetze, erinnere, hilf, weißt du, \
    qu'est-ce, est-ce que, peux-tu, pouvez-vous, pourrais-tu, pourriez-vous, dis-moi, dites-moi, \
    explique, expliquez, résume, résumez, traduis, donne-moi, montre-moi, rappelle-moi, aide-moi, \
    por qué, dime, dinos, explica, explícame, puedes, podrías, traduce, recuérdame, ayúdame, \
    muéstrame, diga-me, me diga, diz-me, você pode, poderia, resuma, traduza, me ajude";

/// Phrases that begin a question in scripts without spaces.
pub(super) const UNSPACED_OPENERS: &str = "什么, 什麼, 怎么, 怎麼, 为什么, 為什麼, 谁, 誰, 哪, 几点, \
    幾點, 多少, 能不能, 可不可以, 请你, 告诉我, 告訴我, 帮我, 幫我, なぜ, どうして, どうやって, どこ, \
    いつ, 何時";

/// Phrases that end a question or request.
pub(super) const REQUEST_ENDINGS: &str = "ですか, ますか, でしょうか, ましたか, 教えて, 教えてください, \
    てください, てくれる, てもらえる, 吗, 嗎, 什么, 什麼, 多少, 几点, 是谁";

/// Listener responses that merely look like questions.
pub(super) const BACKCHANNELS: &str = "そうですか, なるほどそうですか, そうなんですか";
