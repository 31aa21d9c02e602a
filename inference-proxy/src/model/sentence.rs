//! What sentence-transformers keeps beside a model: how its vectors become one, and how long its texts may be.

use std::path::Path;

use serde::Deserialize;

use super::folder::{json, read_optional};
use super::pooling::Pooling;

const POOLING: &str = "1_Pooling/config.json";
/// The files, inside a version's folder.
pub(crate) const FILES: [&str; 3] = ["sentence_bert_config.json", POOLING, "modules.json"];

/// What the files say; the default where there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sentence {
    length: LengthConfig,
    pooling: PoolingConfig,
    modules: Vec<Module>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct LengthConfig {
    max_seq_length: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Module {
    #[serde(default, rename = "type")]
    kind: String,
}

impl Sentence {
    /// Reads them from a version's folder.
    ///
    /// # Errors
    /// A sentence naming the file.
    pub(crate) fn read(dir: &Path) -> Result<Self, String> {
        let [length, pooling, modules] = FILES;
        Ok(Self {
            length: read_optional(dir, length, json)?,
            pooling: read_optional(dir, pooling, json)?,
            modules: read_optional(dir, modules, json)?,
        })
    }

    /// Tokens past which a text is cut.
    pub(crate) fn max_tokens(&self) -> Option<u64> {
        self.length.max_seq_length
    }

    /// How the vectors of the tokens become one; `None` where no file says it.
    ///
    /// # Errors
    /// Where they shall become one in a way that is not served.
    pub(crate) fn pooling(&self) -> Result<Option<Pooling>, String> {
        let config = &self.pooling;
        let modes = [
            (config.pooling_mode_mean_tokens, Some(Pooling::Mean)),
            (config.pooling_mode_cls_token, Some(Pooling::Cls)),
            (config.pooling_mode_lasttoken, Some(Pooling::Last)),
            (config.pooling_mode_max_tokens, None),
            (config.pooling_mode_mean_sqrt_len_tokens, None),
            (config.pooling_mode_weightedmean_tokens, None),
        ];
        let mut asked = modes.into_iter().filter(|(asked, _)| *asked);
        match (asked.next(), asked.next()) {
            (None, _) => Ok(None),
            (Some((_, Some(pooling))), None) => Ok(Some(pooling)),
            _ => Err(format!(
                "{POOLING} asks for another pooling than one of mean, cls and last token: set pooling in driftline.toml"
            )),
        }
    }

    /// Whether the vector is scaled to length 1.
    pub(crate) fn normalizes(&self) -> bool {
        self.modules.iter().any(|module| module.kind.ends_with(".Normalize"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Sentence {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        Sentence::read(dir.path()).unwrap()
    }

    #[test]
    fn the_files_of_a_published_model_are_understood() {
        // as in sentence-transformers/all-MiniLM-L6-v2
        let found = read(&[
            ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": false}"#),
            (
                POOLING,
                r#"{"word_embedding_dimension": 384, "pooling_mode_cls_token": false,
                "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false,
                "pooling_mode_mean_sqrt_len_tokens": false}"#,
            ),
            (
                "modules.json",
                r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#,
            ),
        ]);
        assert_eq!(
            (found.max_tokens(), found.pooling(), found.normalizes()),
            (Some(256), Ok(Some(Pooling::Mean)), true)
        );
        let none = read(&[]);
        assert_eq!((none.max_tokens(), none.pooling(), none.normalizes()), (None, Ok(None), false));
    }

    #[test]
    fn a_pooling_that_is_not_served_is_refused() {
        for config in [
            r#"{"pooling_mode_max_tokens": true}"#,
            r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#,
        ] {
            assert!(read(&[(POOLING, config)]).pooling().unwrap_err().contains(POOLING), "{config}");
        }
    }
}
