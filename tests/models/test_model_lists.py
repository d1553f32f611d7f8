"""The named lists: thirty-two networks, all of them in timm, the seven of Table 1 among them."""

from __future__ import annotations

import warnings

import pytest

from bglab.analysis import published
from bglab.errors import UnknownName
from bglab.models import BASELINE, TABLE_1, model_lists
from bglab.models.model_lists import NETWORKS, TODAY


@pytest.fixture(scope="module")
def offered():
    import timm

    return set(timm.list_pretrained())


@pytest.mark.parametrize("catalogue", [NETWORKS, TODAY])
def test_every_name_and_tag_is_in_timm(catalogue, offered):
    assert [name for name in catalogue if name not in offered] == []
    assert all(network.uri == f"timm:{name}" for name, network in catalogue.items())


def test_all_predict_the_thousand_classes(offered):
    import timm

    configs = {name: timm.get_pretrained_cfg(name) for name in (*NETWORKS, *TODAY)}
    assert [name for name, config in configs.items() if config.num_classes != 1000] == []


def test_thirty_two_of_the_families_the_paper_names():
    assert len(NETWORKS) == 32
    families = {network.family for network in NETWORKS.values()}
    assert families == {"ResNet", "MobileNet", "Wide ResNet", "ResNeXt", "DPN", "EfficientNet", "SWSL", "WSL"}
    assert not set(NETWORKS) & set(TODAY)


def test_the_seven_of_table_1_are_those_the_paper_prints():
    table = published("tbc-table-1")
    printed = table.loc[table["quantity"] == "ticks", "model"].tolist()
    assert list(TABLE_1) == printed
    assert [network.printed for network in TABLE_1.values()] == printed
    assert BASELINE == "timm:resnet18.tv_in1k"


def test_the_largest_says_what_it_stands_in_for():
    assert "32x48d" in TABLE_1["WSL-ResNeXt101-32x48d"].note
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm

    assert "resnext101_32x48d.fb_wsl_ig1b_ft_in1k" not in timm.list_pretrained()


def test_the_error_for_a_misspelt_network_suggests_the_nearest():
    with pytest.raises(UnknownName) as error:
        NETWORKS["resnet18.tv-in1k"]
    assert str(error.value).startswith("unknown network 'resnet18.tv-in1k'; did you mean 'resnet18.tv_in1k'? Known:")


def test_networks_outside_the_lists_are_documented():
    text = model_lists.__doc__ or ""
    assert all(name in text for name in ("open_clip_torch", "DINOv2", "DINOv3", "file:PATH"))


def test_a_list_expands_to_its_networks_without_duplicates():
    named = model_lists.expand(["table-1", "lite:efficientnet_lite0", "thirty-two", "today"])
    assert named[:8] == (*(TABLE_1[name].uri for name in TABLE_1), "lite:efficientnet_lite0")
    assert len(named) == len(set(named)) == 32 + 1 + len(TODAY)
    assert model_lists.expand(["timm:today"]) == ("timm:today",)
