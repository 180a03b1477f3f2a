"""Causal language models: rows of text or chat as tokens, and adapters."""

from maas_jupyter.language.adapters import LoraOptions, add_lora, has_stray_adapters, merged
from maas_jupyter.language.rows import LanguageData, LanguageIntake, language_rows

__all__ = ["LanguageData", "LanguageIntake", "LoraOptions", "add_lora", "has_stray_adapters", "language_rows", "merged"]
