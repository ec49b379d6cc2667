"""Tiny detectors of every family with random weights, and a tokenizer of a few words."""

import json

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPTextConfig,
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    OmDetTurboConfig,
    OmDetTurboForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    PreTrainedTokenizerFast,
    RfDetrConfig,
    RfDetrForObjectDetection,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    SwinConfig,
    YolosConfig,
    YolosForObjectDetection,
)

LABELS = ("car", "Traffic Cone", "person", "Work Vehicle")
PROMPTS = ("traffic cone", "road work sign")
SIDE = 128
NAMES = {
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: index for index, label in enumerate(LABELS)},
}
DECODER = {"num_queries": 12, "decoder_layers": 2, "decoder_attention_heads": 2, "d_model": 32}
HYBRID = {
    **DECODER,
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [16, 32, 64],
    "decoder_in_channels": [32, 32, 32],
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "num_denoising": 0,
}


def d_fine():
    backbone = HGNetV2Config(
        stem_channels=[3, 8, 8],
        hidden_sizes=[8, 16, 32, 64],
        stage_in_channels=[8, 8, 16, 32],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 32, 64],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )
    return DFineForObjectDetection(DFineConfig(backbone_config=backbone, **HYBRID, **NAMES))


def rt_detr_v2():
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 32, 64],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    return RTDetrV2ForObjectDetection(RTDetrV2Config(backbone_config=backbone, **HYBRID, **NAMES))


def rf_detr():
    backbone = {
        "model_type": "rf_detr_dinov2",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 16,
        "num_windows": 2,
        "out_indices": [1, 2],
    }
    config = RfDetrConfig(
        backbone_config=backbone,
        **{**DECODER, "decoder_self_attention_heads": 2, "decoder_cross_attention_heads": 2},
        decoder_ffn_dim=32,
        group_detr=1,
        **NAMES,
    )
    return RfDetrForObjectDetection(config)


def yolos():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = YolosConfig(image_size=[SIDE, SIDE], patch_size=16, num_detection_tokens=8, **sizes, **NAMES)
    return YolosForObjectDetection(config)


def owlv2():
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": 40, "max_position_embeddings": 8, "bos_token_id": 2, "eos_token_id": 3}
    vision = {**small, "image_size": SIDE, "patch_size": 16}
    return Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=32))


def bert():
    return BertConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )


def swin(*stages):
    return SwinConfig(
        image_size=SIDE,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=list(stages),
    )


def mm_grounding_dino():
    config = MMGroundingDinoConfig(
        backbone_config=swin("stage2", "stage3", "stage4"),
        text_config=bert(),
        **DECODER,
        encoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        num_feature_levels=4,
        max_text_len=40,
        disable_custom_kernels=True,
    )
    return MMGroundingDinoForObjectDetection(config)


def omdet_turbo():
    text = CLIPTextConfig(
        vocab_size=40,
        hidden_size=48,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=32,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
    config = OmDetTurboConfig(
        backbone_config=swin("stage2", "stage3", "stage4"),
        text_config=text,
        apply_layernorm_after_vision_backbone=False,
        text_projection_in_dim=48,
        text_projection_out_dim=48,
        task_encoder_hidden_dim=32,
        class_embed_dim=48,
        num_queries=12,
        encoder_hidden_dim=32,
        decoder_hidden_dim=32,
        vision_features_channels=[32, 32, 32],
        encoder_in_channels=[16, 32, 64],
        encoder_attention_heads=2,
        encoder_dim_feedforward=32,
        decoder_num_heads=2,
        decoder_num_layers=2,
        decoder_dim_feedforward=32,
        disable_custom_kernels=True,
        image_size=SIDE,
    )
    return OmDetTurboForObjectDetection(config)


CLOSED = {"d_fine": d_fine, "rt_detr_v2": rt_detr_v2, "rf_detr": rf_detr, "yolos": yolos}
OPEN = {"owlv2": owlv2, "mm_grounding_dino": mm_grounding_dino, "omdet_turbo": omdet_turbo}
PROCESSORS = {
    "owlv2": "Owlv2ImageProcessor",
    "mm_grounding_dino": "GroundingDinoImageProcessor",
    "omdet_turbo": "DetrImageProcessor",
    "rf_detr": "RfDetrImageProcessor",
    "yolos": "YolosImageProcessor",
}


def tokenizer():
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "traffic",
        "cone",
        "road",
        "work",
        "sign",
        ".",
        ",",
        "detect",
    ]
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


def save(folder, family, size=None):
    """A checkpoint as transformers writes it; its model."""
    torch.manual_seed(5)
    model = (CLOSED | OPEN)[family]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    if family in OPEN:
        tokenizer().save_pretrained(folder)
    config = {
        "image_processor_type": PROCESSORS.get(family, "RTDetrImageProcessor"),
        "size": size or {"height": SIDE, "width": SIDE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return model
