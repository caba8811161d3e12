//! The two languages that the chat itself speaks.

use unicode_normalization::UnicodeNormalization;

/// What the chat says by itself is said in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}

impl Language {
    /// Chinese if there is a Chinese character in it: questions name English things in Chinese
    /// sentences, and hardly the other way round.
    pub fn of(text: &str) -> Self {
        if text.chars().any(is_han) { Self::Chinese } else { Self::English }
    }

    /// As the model is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "the language of the question",
            Self::Chinese => "Chinese (中文)",
        }
    }

    /// The answer where the site says nothing of it.
    pub fn not_covered(self) -> &'static str {
        match self {
            Self::English => {
                "This site does not cover that: nothing that is published here answers the question. \
                 Try other words, or ask about something else."
            }
            Self::Chinese => "本站没有涉及这个问题：已发布的内容里找不到答案。请换个说法，或者问问别的。",
        }
    }

    /// The answer to what is no question.
    pub fn courteous(self) -> &'static str {
        match self {
            Self::English => "Ask me anything about what is published here, and I look it up.",
            Self::Chinese => "想了解本站的什么内容，请直接提问，我来查找。",
        }
    }

    /// Before an answer that is quoted.
    pub fn quoting(self) -> &'static str {
        match self {
            Self::English => "The nearest to that on this site:",
            Self::Chinese => "站内最接近的内容：",
        }
    }
}

/// What is said to be polite, and asks nothing.
const COURTESIES: &[&str] = &[
    "hi",
    "hello",
    "hey",
    "hi there",
    "hello there",
    "hey there",
    "good morning",
    "good afternoon",
    "good evening",
    "thanks",
    "thank you",
    "thanks a lot",
    "many thanks",
    "thank you very much",
    "thank you so much",
    "thx",
    "ty",
    "cheers",
    "ok",
    "okay",
    "ok thanks",
    "great",
    "bye",
    "goodbye",
    "merci",
    "hola",
    "danke",
    "你好",
    "您好",
    "你们好",
    "嗨",
    "早上好",
    "晚上好",
    "在吗",
    "谢谢",
    "谢谢你",
    "谢谢您",
    "多谢",
    "好的",
    "再见",
];
/// What a Chinese courtesy may end in.
const SOFTENERS: &[char] = &['啊', '呀', '啦', '哦', '哈', '了'];

/// Whether a question is a courtesy and nothing else.
pub fn is_courtesy(question: &str) -> bool {
    // Letters of full width are letters.
    let plain: String = question.nfkc().collect();
    let words = plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let said = words.collect::<Vec<_>>().join(" ").to_lowercase();
    COURTESIES.contains(&said.trim_end_matches(SOFTENERS))
}

/// A Chinese character. Kana and hangul are none.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_courtesy_is_no_question() {
        for said in ["hi", "Hello!", "  Thanks, ", "OK, thanks.", "你好！", "谢谢。", "多谢啦！", "ｈｉ"] {
            assert!(is_courtesy(said), "{said:?}");
        }
        for asked in ["", "hi, what is ink?", "thanks to whom?", "你好吗", "谢谢谁", "Rust"] {
            assert!(!is_courtesy(asked), "{asked:?}");
        }
    }

    #[test]
    fn one_character_makes_a_question_chinese() {
        for (text, language) in [
            ("How is ink made?", Language::English),
            ("墨", Language::Chinese),
            ("Rust 怎么样?", Language::Chinese),
            ("Wie wird Tinte gemacht?", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::of(text), language, "{text:?}");
        }
    }
}
