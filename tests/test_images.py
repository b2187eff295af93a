"""Pictures: every accepted kind by hand-computed pixels, every refusal, order and bounds."""

import os
import struct
import tempfile
import threading
import time
import warnings
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse

from skfakespotter._prefetch import iter_batches, iter_images
from skfakespotter.images import (
    ImageError,
    MissingFaceError,
    check_images,
    find_images,
    fit_to,
    load_image,
)


def noise(height=20, width=24, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width):
    """A picture that JPEG hardly changes."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(6 * x / width), np.cos(5 * y / height), np.sin(4 * (x + y) / width)]
    return np.rint(127 + 100 * np.stack(waves, 2)).astype(np.uint8)


@pytest.fixture
def png(tmp_path):
    """Write an array as PNG and give the path."""

    def write(array, name="a.png"):
        Image.fromarray(array).save(tmp_path / name)
        return tmp_path / name

    return write


def gradient(mode):
    """All of 0 to 255 in a 16x16 picture of one band."""
    return Image.frombytes("L", (16, 16), bytes(range(256))).convert(mode)


# ---- kinds of pictures -----------------------------------------------------------------


@pytest.mark.parametrize("as_path", [str, Path], ids=["str", "Path"])
def test_path_gives_the_pixels(png, as_path):
    loaded = load_image(as_path(png(noise())))
    np.testing.assert_array_equal(loaded, noise())
    assert loaded.dtype == np.uint8


def test_gray_modes_repeat_the_value():
    expected = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(load_image(gradient("L")), expected)
    np.testing.assert_array_equal(load_image(gradient("RGB")), expected)
    bilevel = Image.fromarray(np.eye(16, dtype=bool))
    assert bilevel.mode == "1"
    np.testing.assert_array_equal(load_image(bilevel)[..., 0], 255 * np.eye(16))


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        # alpha over white: round(a/255 * c + (1 - a/255) * 255)
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (100, 0), (255, 255, 255)),
        ("LA", (0, 51), (204, 204, 204)),  # a = 0.2: 0 + 0.8 * 255
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (255, 105, 5, 102), (255, 195, 155)),  # a = 0.4: 0.4 c + 153
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),  # red in JFIF, rounded
        ("HSV", (85, 255, 255), (0, 255, 0)),  # 85/255 of the circle is 120 degrees
        ("I;16", 257 * 77, (77, 77, 77)),
        ("I", 257 * 77, (77, 77, 77)),
        ("RGBX", (1, 2, 3, 4), (1, 2, 3)),
    ],
)
def test_modes_by_hand(mode, color, expected):
    loaded = load_image(Image.new(mode, (17, 16), color))
    assert loaded.shape == (16, 17, 3)
    np.testing.assert_allclose(loaded[3, 5].astype(int), expected, atol=mode == "YCbCr")


def test_palette_with_and_without_transparency(tmp_path):
    indexed = Image.new("P", (16, 16), 1)
    indexed.putpalette([9, 8, 7, 200, 100, 50])
    np.testing.assert_array_equal(load_image(indexed)[0, 0], (200, 100, 50))
    indexed.putpixel((2, 0), 0)
    indexed.save(tmp_path / "p.png", transparency=1)
    loaded = load_image(tmp_path / "p.png")
    np.testing.assert_array_equal(loaded[0, 0], (255, 255, 255))
    np.testing.assert_array_equal(loaded[0, 2], (9, 8, 7))
    indexed.save(tmp_path / "half.png", transparency=bytes([255, 51]))  # a = 0.2 for color 1
    np.testing.assert_array_equal(load_image(tmp_path / "half.png")[0, 0], (244, 224, 214))


def test_color_key_of_an_rgb_png_is_transparent(tmp_path):
    picture = Image.new("RGB", (16, 16), (10, 20, 30))
    picture.putpixel((1, 0), (40, 50, 60))
    picture.save(tmp_path / "key.png", transparency=(10, 20, 30))
    with Image.open(tmp_path / "key.png") as opened:
        assert opened.mode == "RGB"
    np.testing.assert_array_equal(
        load_image(tmp_path / "key.png")[0, :2], [(255, 255, 255), (40, 50, 60)]
    )


@pytest.mark.parametrize("scale", [1, 1 / 255])
@pytest.mark.parametrize("shape", [(5, 20, 24), (5, 20, 24, 1)])
def test_gray_stacks(scale, shape):
    stack = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    given = stack if scale == 1 else (stack * scale).astype(np.float32)
    loaded = np.stack(list(iter_images(check_images(given))))
    np.testing.assert_array_equal(loaded, np.repeat(stack.reshape(5, 20, 24, 1), 3, axis=3))


@pytest.mark.parametrize("values", [(0, 255), (0, 256), (0, 65535)])
def test_32_bit_pixels_of_8_or_16_bits(values):
    """Up to 255 they are 8-bit values; scaled as 16-bit ones the picture would be black."""
    picture = Image.fromarray(np.array([values] * 2, np.int32))
    assert picture.mode == "I"
    brightest = {255: 255, 256: 1, 65535: 255}[values[1]]
    assert load_image(picture)[0, :, 0].tolist() == [0, brightest]


@pytest.mark.parametrize(("channels", "dtype"), [(4, np.uint8), (3, np.uint16), (4, np.uint16)])
def test_arrays_of_the_networks_own_size_are_converted_too(channels, dtype):
    pixels = noise(32, 32)
    factor = 257 if dtype == np.uint16 else 1
    stack = np.full((2, 32, 32, channels), 255 * factor, dtype)
    stack[..., :3] = pixels.astype(dtype) * factor
    for X in (stack, list(stack)):
        ((_, batch),) = iter_batches(check_images(X), range(2), 8, (32, 32))
        assert batch.dtype == np.uint8
        np.testing.assert_array_equal(batch, [pixels, pixels])


def test_floating_point_pixels_are_refused():
    with pytest.raises(ImageError, match=r"X\[4\].*floating-point pixels"):
        load_image(Image.new("F", (20, 20)), index=4)


def test_32_bit_pixels_beyond_16_bits_are_refused():
    for value in (70_000, -1):
        with pytest.raises(ImageError, match="expected values from 0 to 65,535"):
            load_image(Image.new("I", (20, 20), value))


def test_16_bit_png_is_exact(tmp_path):
    deep = (257 * np.arange(256, dtype=np.uint16)).reshape(16, 16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as opened:
        assert opened.mode.startswith("I")
    np.testing.assert_array_equal(
        load_image(tmp_path / "deep.png")[..., 1], np.arange(256).reshape(16, 16)
    )


def test_16_bit_values_between_are_rounded():
    # 128 is less than half a step of 257, 129 more
    deep = np.array([[0, 128, 129, 385, 386, 65535]], np.uint16)
    assert load_image(deep)[0, :, 0].tolist() == [0, 0, 1, 1, 2, 255]


@pytest.mark.parametrize("factor", [1, 257], ids=["uint8", "uint16"])
def test_arrays_gray_rgb_rgba(factor):
    dtype = np.uint8 if factor == 1 else np.uint16
    rgb = noise()
    np.testing.assert_array_equal(load_image((rgb.astype(int) * factor).astype(dtype)), rgb)
    gray = (rgb[..., 0].astype(int) * factor).astype(dtype)
    np.testing.assert_array_equal(load_image(gray), np.repeat(rgb[..., :1], 3, axis=2))
    alpha = np.full((20, 24, 1), 255, np.uint8)
    alpha[0] = 0
    rgba = (np.concatenate([rgb, alpha], 2).astype(int) * factor).astype(dtype)
    np.testing.assert_array_equal(load_image(rgba)[1:], rgb[1:])
    assert (load_image(rgba)[0] == 255).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((20, 20, 3)),
        np.zeros((20, 20, 3), np.int64),
        np.zeros((20, 20, 2), np.uint8),
        np.zeros((3, 20, 20), np.uint8),
        np.zeros((0, 20, 3), np.uint8),
        np.zeros(20, np.uint8),
        np.zeros((20, 20), bool),
    ],
    ids=["float", "int64", "2 channels", "channels first", "empty", "1-d", "bool"],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ImageError, match=r"X\[2\]: is an array of shape .* expected uint8"):
        load_image(array, index=2)


@pytest.mark.parametrize("thing", [3, None, float("nan"), ["a.jpg"]])
def test_other_things_are_refused(thing):
    with pytest.raises(ImageError, match=rf"X\[1\]: is a {type(thing).__name__}; expected a path"):
        load_image(thing, index=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_tensor_item_float(dtype):
    ends = torch.zeros(3, 16, 16, dtype=dtype)
    ends[1] = 1
    assert load_image(ends)[0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    "tensor",
    [torch.full((3, 16, 16), 1.5), torch.full((3, 16, 16), torch.nan), torch.rand(1, 16, 16)],
    ids=["above 1", "NaN", "gray"],
)
def test_bad_tensor_item_is_named(tensor):
    with pytest.raises(ImageError, match=r"^X\[1\]: is a tensor .*in \[0, 1\], of shape \(3, h"):
        list(iter_images([torch.zeros(3, 16, 16), tensor]))


# ---- kinds of inputs -------------------------------------------------------------------


def inputs():
    """Name and input, all of them holding the pictures of seeds 0, 1 and 2."""
    pictures = [noise(seed=seed) for seed in range(3)]
    stack = np.stack(pictures)
    objects = np.empty(3, object)
    objects[:] = pictures
    chw = torch.from_numpy(stack).permute(0, 3, 1, 2)
    opaque = np.concatenate([stack, np.full((3, 20, 24, 1), 255, np.uint8)], 3)
    return {
        "list": pictures,
        "tuple": tuple(pictures),
        "array": stack,
        "uint16 array": stack.astype(np.uint16) * 257,
        "RGBA array": opaque,
        "array, channels first": np.ascontiguousarray(stack.transpose(0, 3, 1, 2)),
        "float array": (stack / 255).astype(np.float32),
        "column of objects": objects[:, None],
        "object array": objects,
        "Series of arrays": pd.Series(pictures, index=[7, 7, 2]),
        "PIL": [Image.fromarray(p) for p in pictures],
        "tensor uint8": chw,
        "tensor float": chw / 255,
        "tensor float64 with gradient": (chw.double() / 255).requires_grad_(),
        "list of tensors": list(chw),
        "list of float tensors": [t / 255 for t in chw],
        "mixed": [pictures[0], Image.fromarray(pictures[1]), chw[2]],
    }


@pytest.mark.parametrize("kind", inputs())
def test_every_kind_of_input_in_memory(kind):
    loaded = list(iter_images(check_images(inputs()[kind])))
    np.testing.assert_array_equal(loaded, [noise(seed=seed) for seed in range(3)])
    assert all(image.dtype == np.uint8 for image in loaded)


def uploaded(path, stack):
    """What a web framework hands on: a file object that was written to and not rewound."""
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    stack.callback(file.close)
    file.write(path.read_bytes())
    return file


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def test_every_kind_of_input_of_paths(png, stack):
    paths = [png(noise(seed=seed), f"{seed}.png") for seed in range(3)]
    names = [str(p) for p in paths]
    files = [stack.enter_context(p.open("rb")) for p in paths]
    kinds = [
        paths,
        names,
        np.array(names),
        np.array(paths, dtype=object),
        pd.Series(names),
        pd.Series(paths, index=[5, 5, 1]),
        pd.Series(names, dtype="category"),
        pd.Index(names),
        pd.DataFrame({"path": names}, index=[5, 5, 1]),
        [p.read_bytes() for p in paths],
        [BytesIO(p.read_bytes()) for p in paths],
        [uploaded(p, stack) for p in paths],
        files,
    ]
    for X in kinds:
        loaded = list(iter_images(check_images(X)))
        np.testing.assert_array_equal(loaded, [noise(seed=seed) for seed in range(3)])


def test_file_objects_are_read_from_their_start_and_left_where_they_were(png):
    data = png(noise()).read_bytes()
    file = BytesIO(data)
    file.seek(5)
    for _ in range(2):
        np.testing.assert_array_equal(load_image(file), noise())
    assert file.tell() == 5
    assert check_images([file, "a.jpg"]) == [data, "a.jpg"]


def test_a_file_object_that_cannot_be_read_is_named(png):
    closed = BytesIO(b"")
    closed.close()
    with open(png(noise())) as text:
        for X, cause in (
            ([closed], "closed file"),
            ([BytesIO(b"no picture")], "cannot identify"),
            ([text], "text mode; expected a binary file"),
        ):
            with pytest.raises(ImageError, match=rf"^X\[1\]: .*{cause}"):
                list(iter_images(check_images([noise(), *X])))


def test_ragged_list_keeps_its_sizes():
    X = check_images([noise(20, 30), noise(40, 16)])
    assert [image.shape for image in iter_images(X)] == [(20, 30, 3), (40, 16, 3)]


def test_uint8_stack_is_not_copied():
    stack = np.stack([noise(), noise(seed=1)])
    assert check_images(stack) is stack


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("face.jpg", r"X is a single str: pass \[X\], a list of paths"),
        (np.str_("face.jpg"), r"X is a single str"),
        (b"face.jpg", r"X is a single bytes: pass \[X\]"),
        (Path("face.jpg"), r"X is a single path: pass \[X\]"),
        (Image.new("RGB", (20, 20)), r"X is a single Image: pass \[X\]"),
        (BytesIO(b"face.jpg"), r"X is a single BytesIO: pass \[X\]"),
        (
            pd.DataFrame({"path": ["a.jpg"], "label": [0]}),
            r"X is a DataFrame of 2 columns: pass the one .*X\[\['path'\]\]",
        ),
        ((p for p in ["a.jpg"]), "X is a generator: expected a list of paths"),
        (map(str, [1]), "X is a map: expected a list of paths"),
        ({"a.jpg"}, "X is a set: expected a list of paths"),
        (frozenset({"a.jpg"}), "X is a frozenset: expected"),
        ({0: "a.jpg"}, "X is a dict: expected a list of paths"),
        (sparse.eye(3, format="csr"), "X is a csr_matrix: expected a list"),
        (sparse.csr_array(np.eye(3)), "X is a csr_array: expected a list of paths"),
        (np.array("a.jpg"), "X is a ndarray: expected a list of paths"),
        (np.array(None), "X is a ndarray: expected a list of paths"),
        (None, "X is a NoneType: expected a list of paths"),
        (7, "X is a int: expected a list of paths"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_wrong_kinds_of_input(X, message):
    with pytest.raises(TypeError, match=message):
        check_images(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "X holds no pictures"),
        ((), "X holds no pictures"),
        (pd.Series([], dtype=object), "X holds no pictures"),
        (np.array([], dtype=object), "X holds no pictures"),
        (np.zeros((0, 20, 20, 3), np.uint8), r"X holds no pictures: shape \(0, 20, 20, 3\)"),
        (torch.zeros(0, 3, 20, 20), "X holds no pictures"),
        (np.full((2, 20, 20, 3), 2.0), r"floating-point array: expected values in \[0, 1\]"),
        (np.full((2, 20, 20), np.nan), r"floating-point array: expected values in \[0, 1\]"),
        (np.zeros((3, 64, 64), np.uint8), r"a single picture\? pass \[X\]"),
        (np.zeros((2, 20, 20, 2), np.uint8), r"array of shape \(2, 20, 20, 2\)"),
        (np.zeros((2, 20, 20, 3), np.int64), "type int64: expected"),
        (np.zeros((20, 20, 3), np.uint8), r"a single picture\? pass \[X\]"),
        (np.zeros((20, 20), np.uint8), r"a single picture\? pass \[X\]"),
        (np.zeros((2, 5, 20, 20), np.uint8), r"array of shape \(2, 5, 20, 20\)"),
        (torch.zeros(3, 20, 20), r"tensor of shape \(3, 20, 20\): expected \(n, 3, h, w\)"),
        (torch.zeros(2, 20, 20, 3), r"expected \(n, 3, h, w\)"),
        (torch.full((1, 3, 20, 20), 2.0), r"floating-point tensor: expected values in \[0, 1\]"),
        (torch.full((1, 3, 20, 20), -0.1), r"expected values in \[0, 1\]"),
        (torch.full((1, 3, 20, 20), torch.nan), r"expected values in \[0, 1\]"),
        (torch.zeros((1, 3, 20, 20), dtype=torch.int64), "type int64"),
    ],
)
def test_wrong_values_of_input(X, message):
    with pytest.raises(ValueError, match=message):
        check_images(X)


def test_the_name_in_messages_can_be_chosen():
    with pytest.raises(TypeError, match=r"pictures is a single str: pass \[pictures\]"):
        check_images("a.jpg", name="pictures")


# ---- files -----------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """The tag says what to do with the stored pixels to see the scene upright."""
    stored = np.zeros((16, 20, 3), np.uint8)
    stored[0, 0], stored[0, -1], stored[-1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), upright(stored))


@pytest.mark.parametrize(
    ("orientation", "place"),
    [(6, (slice(0, 16), slice(-16, None))), (8, (slice(-16, None), slice(0, 16)))],
)
def test_exif_orientation_of_a_jpeg_by_place(tmp_path, orientation, place):
    # the stored top left corner: 6 turns clockwise, to the top right; 8 to the bottom left
    stored = np.zeros((48, 80, 3), np.uint8)
    stored[:16, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as opened:
        pictures = [load_image(tmp_path / "a.jpg"), load_image(opened)]
    for loaded in pictures:
        assert loaded.shape == (80, 48, 3)
        assert loaded[place].min() > 250
        assert (loaded > 128).sum() == 16 * 16 * 3


def test_cmyk_jpeg(tmp_path):
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    red.save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as opened:
        assert opened.mode == "CMYK"
    loaded = load_image(tmp_path / "a.jpg").astype(int)
    np.testing.assert_allclose(loaded, np.broadcast_to((255, 0, 0), (32, 32, 3)), atol=4)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    with Image.open(tmp_path / "a.gif") as opened:
        assert opened.n_frames == 3
    loaded = load_image(tmp_path / "a.gif")
    assert loaded.shape == (20, 20, 3)
    assert (loaded == (255, 0, 0)).all()


def test_one_pixel_is_a_picture_but_holds_no_face(png):
    path = png(np.full((1, 1, 3), 9, np.uint8))
    assert load_image(path).tolist() == [[[9, 9, 9]]]
    with pytest.raises(ImageError, match=r"X\[1\] \('.*a\.png'\): is 1x1 pixels.*at least 16x16"):
        list(iter_batches([noise(), path], range(2), 2, (32, 32)))


def broken_files(folder):
    """File name and the cause that its error must state."""
    whole = folder / "whole.jpg"
    Image.fromarray(noise(64, 64)).save(whole)
    (folder / "truncated.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "folder.jpg").mkdir()
    Image.fromarray(noise(64, 64)).save(folder / "whole.png")
    data = bytearray((folder / "whole.png").read_bytes())
    data[len(data) // 2] ^= 255
    (folder / "flipped.png").write_bytes(data)
    return {
        "truncated.jpg": "truncated",
        "text.jpg": "cannot identify image file",
        "empty.jpg": "cannot identify image file",
        "folder.jpg": "is a folder; expected a picture",
        "missing.jpg": "no such file",
        "flipped.png": "broken|decod|unrecognized|checksum",
    }


@pytest.mark.parametrize("position", [0, 1, 40, 99])
def test_broken_files_are_named_at_any_place(tmp_path, position):
    for name, cause in broken_files(tmp_path).items():
        X = [noise()] * 100
        X[position] = str(tmp_path / name)
        with pytest.raises(ImageError, match=cause) as caught:
            list(iter_images(X))
        assert (caught.value.index, caught.value.path) == (position, X[position])
        assert str(caught.value).startswith(f"X[{position}] ({X[position]!r}): ")


def test_the_first_of_several_broken_pictures_is_named(tmp_path):
    X = [noise()] * 5 + [tmp_path / "b.jpg"] + [noise()] * 5 + [tmp_path / "a.jpg"]
    images = iter_images(X, n_threads=4)
    assert len([next(images) for _ in range(5)]) == 5
    with pytest.raises(ImageError, match=r"^X\[5\] .*b\.jpg"):
        next(images)


def test_truncated_pil_image_is_named(tmp_path):
    broken_files(tmp_path)
    with (
        Image.open(tmp_path / "truncated.jpg") as opened,
        pytest.raises(ImageError, match=r"X\[3\] \('.*truncated\.jpg'\): cannot be decoded"),
    ):
        load_image(opened, index=3)


@pytest.mark.parametrize("error", ["error", "default"])
@pytest.mark.parametrize("side", [32, 64], ids=["Pillow warns", "Pillow refuses"])
def test_decompression_bomb_is_an_image_error(png, monkeypatch, side, error):
    path = png(noise(side, side))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter(error, Image.DecompressionBombWarning)
        if error == "default":
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match=r"X\[2\] \('.*a\.png'\): .*(pixels|bomb)"):
            list(iter_images([noise(), noise(), path]))


def test_decompression_bomb_as_pil_image_and_limit_off(monkeypatch):
    picture = Image.fromarray(noise(32, 32))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32 - 1)
    with pytest.raises(ImageError, match=r"has 32x32 pixels, over the limit .* = 1023"):
        load_image(picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32)
    assert load_image(picture).shape == (32, 32, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert load_image(picture).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("height", "width", "draft_side", "divisor"),
    [
        (639, 900, 160, 1),  # shorter side below four times 160
        (640, 900, 160, 2),  # exactly twice as long afterwards
        (640, 900, 80, 4),
        (640, 900, 81, 2),  # a quarter would be 160 < 162
        (1200, 700, 40, 8),
        (640, 900, None, 1),
    ],
)
def test_draft_decodes_at_a_fraction(tmp_path, height, width, draft_side, divisor):
    Image.fromarray(smooth(height, width)).save(tmp_path / "a.jpg", quality=95)
    full = load_image(tmp_path / "a.jpg")
    draft = load_image(tmp_path / "a.jpg", draft_side=draft_side)
    assert draft.shape == (-(-height // divisor), -(-width // divisor), 3)
    if draft_side:
        assert min(draft.shape[:2]) >= 2 * draft_side
    side = draft_side or 160
    difference = fit_to(full, (side, side)).astype(int) - fit_to(draft, (side, side))
    assert np.abs(difference).max() <= 4


def test_arrays_obey_the_limit_of_pixels_without_being_copied():
    huge = np.broadcast_to(np.uint8(0), (40_000, 40_000, 3))
    with pytest.raises(ImageError, match="has 40000x40000 pixels, over the limit"):
        load_image(huge)


def test_a_format_that_starts_a_program_is_not_opened(tmp_path, monkeypatch):
    """Pillow gives EPS to Ghostscript, whatever the file is called."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: pytest.fail("started"))
    path = tmp_path / "holiday.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n%%EndComments\nshowpage\n%%EOF\n"
    )
    for picture in (path, path.read_bytes()):
        with pytest.raises(ImageError, match="cannot identify image file"):
            load_image(picture)


@pytest.mark.timeout(20)
def test_pipes_devices_and_giants_are_refused_by_name(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with open(tmp_path / "giant.jpg", "wb") as giant:
        giant.truncate(40 << 30)  # without taking any room
    for path, reason in {
        tmp_path / "pipe.jpg": "is a pipe, a socket or a device",
        "/dev/zero": "is a pipe, a socket or a device",
        tmp_path / "giant.jpg": "is a file of 40.0 GiB; expected at most 1 GiB",
        "a\0b.jpg": "null",
        "a" * 5000: "cannot be read",
    }.items():
        with pytest.raises(ImageError, match=reason) as caught:
            load_image(path, index=3)
        assert (caught.value.index, caught.value.path) == (3, str(path))


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    path = tmp_path / "scans.jpg"
    Image.fromarray(smooth(64, 64)).save(path, progressive=True)
    assert load_image(path).shape == (64, 64, 3)
    data = path.read_bytes()
    scan = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + 200 * scan + data[-2:])
    with pytest.raises(ImageError, match=r"is a JPEG of 2\d\d scans; expected at most 100"):
        load_image(path)


class Surprise:
    def __array__(self, dtype=None, copy=None):
        raise KeyError("surprise")


def test_a_picture_that_cannot_be_looked_at_is_named():
    with pytest.raises(
        ImageError, match=r"X\[1\]: cannot be converted to an array \(KeyError: 'surprise'\)"
    ):
        list(iter_images([noise(), Surprise()]))


def with_exif(jpeg, entries, tail=b""):
    """A JPEG with EXIF of its own: entries are (tag, type, count, value)."""
    fields = [struct.pack("<HHL", *entry[:3]) + entry[3] for entry in entries]
    body = struct.pack("<H", len(fields)) + b"".join(fields) + b"\0\0\0\0" + tail
    exif = b"Exif\0\0II*\0" + struct.pack("<L", 8) + body
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize(
    ("entry", "tail"),
    [
        ((282, 3, 2, struct.pack("<HH", 72, 72)), b""),  # a resolution of two shorts
        ((0x9286, 3, 2, struct.pack("<HH", 1, 2)), b""),  # a comment of shorts
        ((0x9204, 10, 1, struct.pack("<L", 38)), struct.pack("<ll", -1, 0)),  # -1 / 0
        ((0x8769, 4, 1, struct.pack("<L", 99_999)), b""),  # further fields beyond the end
    ],
)
def test_exif_that_cannot_be_written_back_still_turns_the_picture(entry, tail):
    buffer = BytesIO()
    Image.fromarray(smooth(32, 48)).save(buffer, "JPEG")
    plain = load_image(buffer.getvalue())
    turn = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
    turned = load_image(with_exif(buffer.getvalue(), [turn, entry], tail))
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
def test_damaged_exif_is_no_fault_of_the_pixels():
    buffer, rng = BytesIO(), np.random.default_rng(0)
    Image.fromarray(smooth(16, 24)).save(buffer, "JPEG")
    turn = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
    maker = (0x010F, 2, 6, struct.pack("<L", 38))
    whole = with_exif(buffer.getvalue(), [turn, maker], b"maker\0")
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(20, 56, rng.integers(1, 4)):  # of the EXIF alone
            damaged[place] = rng.integers(256)
        assert sorted(load_image(bytes(damaged)).shape) == [3, 16, 24]


def test_draft_leaves_other_formats_alone(png):
    assert load_image(png(noise(400, 400)), draft_side=20).shape == (400, 400, 3)


def test_draft_of_gray_and_cmyk_jpeg(tmp_path):
    for mode, color in (("L", 90), ("CMYK", (0, 0, 0, 165))):
        Image.new(mode, (400, 400), color).save(tmp_path / "a.jpg", quality=95)
        loaded = load_image(tmp_path / "a.jpg", draft_side=50)
        assert loaded.shape == (100, 100, 3)
        np.testing.assert_allclose(loaded.astype(int), 90, atol=3)


# ---- sizes -----------------------------------------------------------------------------


def test_fit_to_crops_the_center():
    # 20x60: the shorter side fits already, 20 columns are cut off on either side
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 200
    assert (fit_to(picture, (20, 20)) == 200).all()
    assert (fit_to(picture.transpose(1, 0, 2), (20, 20)) == 200).all()


def test_fit_to_keeps_a_part_of_the_shorter_side():
    picture = noise(160, 160)
    np.testing.assert_array_equal(fit_to(picture, (80, 80), crop=0.5), picture[40:120, 40:120])


def test_fit_to_gives_height_then_width_and_passes_a_fitting_picture_on():
    assert fit_to(noise(40, 40), (20, 30)).shape == (20, 30, 3)
    picture = noise(20, 30)
    assert fit_to(picture, (20, 30)) is picture
    assert fit_to(picture, [20, 30]) is picture


@pytest.mark.parametrize("size", [(15, 40), (40, 15)])
def test_fit_to_refuses_less_than_16_pixels(size):
    with pytest.raises(ImageError, match=f"is {size[1]}x{size[0]} pixels; expected at least 16x16"):
        fit_to(np.zeros((*size, 3), np.uint8), (32, 32))
    assert fit_to(np.zeros((16, 16, 3), np.uint8), (32, 32)).shape == (32, 32, 3)


@pytest.mark.parametrize("kind", ["array", "list"])
@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 64, [2]), (3, 1, [1, 1, 1])],
)
def test_batch_sizes(n, batch_size, sizes, kind):
    pictures = [noise(seed=seed) for seed in range(n)]
    X = check_images(np.stack(pictures) if kind == "array" else pictures)
    where, batches = zip(*iter_batches(X, range(n), batch_size, (20, 24)), strict=True)
    assert [len(batch) for batch in batches] == sizes
    np.testing.assert_array_equal(np.concatenate(where), range(n))
    np.testing.assert_array_equal(np.concatenate(batches), pictures)


@pytest.mark.parametrize("kind", ["array", "list"])
@pytest.mark.parametrize("size", [(20, 24), (32, 32)], ids=["fits", "fitted"])
@pytest.mark.parametrize("prefetch", [None, 2])
def test_chosen_positions_in_their_order(kind, size, prefetch):
    pictures = [noise(seed=seed) for seed in range(30)]
    X = check_images(np.stack(pictures) if kind == "array" else pictures)
    chosen = np.random.default_rng(0).permutation(30)[:21]
    where, batches = zip(*iter_batches(X, chosen, 8, size, prefetch=prefetch), strict=True)
    np.testing.assert_array_equal(np.concatenate(where), chosen)
    expected = [fit_to(pictures[i], size) for i in chosen]
    np.testing.assert_array_equal(np.concatenate(batches), expected)


def test_errors_of_batches_count_in_the_input(tmp_path):
    X = [*[noise()] * 7, tmp_path / "missing.jpg", noise()]
    with pytest.raises(ImageError, match=r"^X\[7\] \('.*missing.jpg'\): no such file"):
        list(iter_batches(X, [8, 7, 0], 2, (32, 32)))


def test_batches_of_ragged_pictures_are_fitted():
    X = [smooth(40, 60), smooth(90, 30), smooth(32, 32)]
    ((_, batch),) = iter_batches(X, range(3), 8, (32, 32))
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, [fit_to(image, (32, 32)) for image in X])


# ---- order, read-ahead, threads --------------------------------------------------------


def decoding_threads():
    return [t for t in threading.enumerate() if t.name.startswith("decode")]


class Pictures:
    """A sequence that counts how often a picture was asked for."""

    def __init__(self, n):
        self.n, self.asked, self.lock = n, set(), threading.Lock()

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        with self.lock:
            self.asked.add(index)
        return np.full((16, 16), index % 256, np.uint8)


def test_order_is_kept_when_threads_finish_out_of_order():
    def dawdle(image):
        time.sleep(0.004 * (image[0, 0, 0] % 3 == 0))
        return int(image[0, 0, 0])

    assert list(iter_images(Pictures(200), dawdle, n_threads=4)) == list(range(200))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_read_ahead_is_bounded(n_threads):
    X = Pictures(500)
    images = iter_images(X, n_threads=n_threads)
    assert X.asked == set()  # nothing before the first is wanted
    for consumed in range(1, 20):
        next(images)
        time.sleep(0.005)
        assert max(X.asked) < consumed + 8 * n_threads
    images.close()
    assert len(X.asked) < 20 + 8 * n_threads


def test_closing_early_leaves_no_threads():
    before = decoding_threads()
    images = iter_images(Pictures(100), n_threads=4)
    next(images)
    assert len(decoding_threads()) > len(before)
    images.close()
    assert decoding_threads() == before


def test_closing_early_drops_what_waits_to_be_decoded():
    prepared = []

    def dawdle(image):
        time.sleep(0.03)
        prepared.append(1)

    images = iter_images(Pictures(100), dawdle, n_threads=1)
    next(images)
    images.close()
    assert len(prepared) <= 5  # of the eight read ahead


def test_an_error_leaves_no_threads_and_ends_the_iteration(tmp_path):
    before = decoding_threads()
    images = iter_images([noise(), tmp_path / "missing.jpg", *[noise()] * 50])
    next(images)
    with pytest.raises(ImageError, match="no such file"):
        next(images)
    assert decoding_threads() == before
    with pytest.raises(StopIteration):
        next(images)


def test_batches_closed_early_leave_no_threads():
    before = decoding_threads()
    batches = iter_batches(Pictures(100), range(100), 4, (20, 20))
    next(batches)
    del batches
    assert decoding_threads() == before


def test_an_error_of_prepare_that_is_not_about_the_picture_passes():
    with pytest.raises(ZeroDivisionError):
        list(iter_images([noise()], lambda image: 1 / 0))


def test_one_lazily_opened_pil_image_at_many_places(tmp_path):
    Image.fromarray(noise(500, 500)).save(tmp_path / "a.jpg")
    expected = load_image(tmp_path / "a.jpg")
    for _ in range(10):
        with Image.open(tmp_path / "a.jpg") as opened:
            for loaded in iter_images([opened] * 8, n_threads=8):
                np.testing.assert_array_equal(loaded, expected)


def test_inputs_are_not_changed():
    picture = Image.new("RGBA", (20, 20), (1, 2, 3, 4))
    deep = np.full((20, 20), 1000, np.uint16)
    load_image(picture)
    load_image(deep)
    assert (picture.mode, picture.getpixel((0, 0)), deep[0, 0]) == ("RGBA", (1, 2, 3, 4), 1000)


# ---- folders ---------------------------------------------------------------------------


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names_in(folder):
    return [path.relative_to(folder).as_posix() for path in find_images(folder)]


def test_find_images_sorted_and_without_the_rest(tmp_path):
    touch(tmp_path, "b/2.JPG", "1.png", "notes.txt", "3.webp", "b/Thumbs.db")
    touch(tmp_path, "c.jfif", "d.JPE", "e.mpo", "f.tiff", "video.jpg/0001.png")
    expected = ["1.png", "3.webp", "b/2.JPG", "c.jfif", "d.JPE", "e.mpo", "f.tiff"]
    assert names_in(tmp_path) == [*expected, "video.jpg/0001.png"]  # a folder is no picture
    assert find_images(str(tmp_path)) == find_images(tmp_path)


def test_what_find_images_leaves_out_is_counted(tmp_path):
    touch(tmp_path, "a.jpg", ".b.jpg", ".thumbnails/a.jpg", "c/.ipynb_checkpoints/d/a.png")
    touch(tmp_path, "e.heic", "f.HEIC", "g.nef", ".DS_Store", ".thumbnails/e.heic")
    with pytest.warns(UserWarning, match=r"left out in '.*': 2 \.heic, 1 \.nef, 3 hidden\. "):
        assert names_in(tmp_path) == ["a.jpg"]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ValueError, match=r"no pictures in '.*' \(left out: 2 \.heic, 1 \.nef, 3"):
        find_images(tmp_path)


def test_a_registered_plugin_makes_its_suffix_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.registered_extensions()))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    Image.register_open("OWN", lambda file, name: Image.new("RGB", (9, 9)), lambda head: True)
    Image.register_extension("OWN", ".heic")
    touch(tmp_path, "a.heic")
    assert names_in(tmp_path) == ["a.heic"]


def test_find_images_follows_links_once(tmp_path):
    touch(tmp_path, "elsewhere/a.jpg", "data/b.jpg")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")  # a circle
    assert names_in(tmp_path / "data") == ["b.jpg", "linked/a.jpg"]


def test_find_images_empty_or_missing_folder(tmp_path):
    with pytest.raises(ValueError, match=rf"no pictures in '{tmp_path}'"):
        find_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder: 'no/such'"):
        find_images("no/such")
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_images(tmp_path / "a.jpg")


def test_image_error_is_a_value_error_that_survives_pickling():
    import pickle

    error = ImageError("is truncated", index=3, path="a.jpg")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ValueError)
    assert (again.reason, again.index, again.path) == ("is truncated", 3, "a.jpg")
    assert str(again) == str(error) == "X[3] ('a.jpg'): is truncated"
    assert str(ImageError("is empty")) == "picture: is empty"


def test_image_error_at_another_place():
    error = MissingFaceError("has no face", index=3, path="a.jpg")
    moved = error.at(7)
    assert type(moved) is MissingFaceError
    assert (moved.reason, moved.index, moved.path) == ("has no face", 7, "a.jpg")
    assert error.at(8, "b.jpg").path == "b.jpg"
    assert error.index == 3
