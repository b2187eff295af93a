"""Clips as they are in the wild: sound ones are read without a word, hostile ones by name."""

import struct
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skfakespotter.images import load_image
from skfakespotter.video import VideoError, iter_frames
from skfakespotter.video._decoding import _packets

av = pytest.importorskip("av")

TICKS = Fraction(1, 1000)


def write(path, stamps, *, codec="libx264", size=(64, 48), last=None, sound=False, **options):
    """Encode pictures, each brighter than the one before, at the times given in seconds."""
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"bf": "0"} if codec == "libx264" else {}
        stream.codec_context.time_base = TICKS
        if sound:
            _add_sound(container, 4)
        packets = []
        for i, seconds in enumerate(stamps):
            image = np.full((size[1], size[0], 3), 9 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = int(seconds * 1000), TICKS
            packets += stream.encode(frame)
        packets += stream.encode()
        if last is not None:
            packets[-1].duration = int(last * 1000)
        container.mux(packets)
    return str(path)


def _add_sound(container, seconds):
    stream = container.add_stream("aac", rate=8000, layout="mono")
    for i in range(seconds * 8):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, 1024 * i
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def read(path, **options):
    """Decode and insist that nothing is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return list(iter_frames(path, **options))


SECOND = [i / 25 for i in range(25)]


class TestSoundClips:
    @pytest.mark.parametrize(
        ("name", "stamps", "options"),
        [
            ("late.webm", [5 + t for t in SECOND], {"codec": "libvpx"}),
            ("late.mkv", [60 + t for t in SECOND], {}),
            ("late.mp4", [5 + t for t in SECOND], {}),
            ("slides.webm", [0, 0.04, 0.08, 3, 6, 9], {"codec": "libvpx", "last": 5}),
            ("held.mkv", SECOND, {"last": 5}),
            ("still.avi", SECOND, {"codec": "mpeg4"}),  # empty chunks stand between the pictures
            ("live.webm", SECOND, {"codec": "libvpx", "container_options": {"live": "1"}}),
            ("sound.mkv", SECOND, {"sound": True}),
            ("sound.mp4", SECOND, {"sound": True}),
            (
                "parts.mp4",
                SECOND,
                {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
            ),
        ],
    )
    def test_are_not_called_broken(self, tmp_path, name, stamps, options):
        frames = read(write(tmp_path / name, stamps, **options))
        times = [frame.time for frame in frames]
        assert times == pytest.approx(np.subtract(stamps, stamps[0]), abs=0.002)
        assert frames[-1].image.mean() > frames[0].image.mean()

    @pytest.mark.parametrize(("start", "length"), [(0, 0.6), (0.4, 0.4), (0.2, 0.8)])
    def test_an_edit_list_hides_samples(self, tmp_path, start, length):
        path = write(tmp_path / "a.mp4", SECOND)
        content = bytearray(Path(path).read_bytes())
        edit, media, movie = (content.find(kind) for kind in (b"elst", b"mdhd", b"mvhd"))
        ticks = struct.unpack(">L", content[media + 16 : media + 20])[0]
        movie_ticks = struct.unpack(">L", content[movie + 16 : movie + 20])[0]
        content[edit + 12 : edit + 20] = struct.pack(
            ">Ll", int(length * movie_ticks), int(start * ticks)
        )
        Path(path).write_bytes(content)
        frames = read(path)
        assert len(frames) == pytest.approx(25 * length, abs=1)
        assert frames[0].image.mean() == pytest.approx(9 * 25 * start, abs=4)

    def test_times_that_start_anew_go_on(self, tmp_path):
        """Two transport streams joined byte by byte: the second part is looked at too."""
        stamps = [i / 5 for i in range(10)]
        parts = [Path(write(tmp_path / f"{i}.ts", stamps)).read_bytes() for i in range(2)]
        (tmp_path / "both.ts").write_bytes(b"".join(parts))
        times = [frame.time for frame in read(tmp_path / "both.ts")]
        assert len(times) == 20
        assert times[:10] == pytest.approx(stamps, abs=0.01)
        assert times[10] == pytest.approx(1.8, abs=0.25)  # a frame after the last
        assert np.diff(times[10:]) == pytest.approx(0.2, abs=0.01)
        sampled = [frame.index for frame in read(tmp_path / "both.ts", every=1.0)]
        assert sampled == pytest.approx([0, 5, 10, 15], abs=1)

    def test_without_time_stamps(self, tmp_path):
        path = write(tmp_path / "raw.h264", SECOND)
        with av.open(path) as container:
            assert next(container.decode(video=0)).pts is None
        times = [frame.time for frame in read(path)]
        assert times == pytest.approx(SECOND)

    def test_a_name_that_reads_as_an_address(self, tmp_path, monkeypatch):
        clip = Path(write(tmp_path / "good.mp4", SECOND)).read_bytes()
        monkeypatch.chdir(tmp_path)
        for name in ("http:a.mp4", "concat:good.mp4", "subfile,,start,0,end,0,,:good.mp4"):
            Path(name).write_bytes(clip)
            assert len(read(name)) == 25

    @pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "mov"])
    def test_metadata_of_another_encoding(self, tmp_path, suffix):
        path = tmp_path / f"a.{suffix}"
        with av.open(str(path), "w") as container:
            container.metadata["title"] = "TITLEXTITLE"
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        content = path.read_bytes()
        assert b"TITLEXTITLE" in content
        path.write_bytes(content.replace(b"TITLEXTITLE", "Café Münche".encode("latin-1")))
        assert len(read(path)) == 1


class TestTruncation:
    @pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.avi"])
    @pytest.mark.parametrize("sound", [False, True])
    def test_is_noticed_by_the_size(self, tmp_path, name, sound):
        codec = {"a.webm": "libvpx", "a.avi": "mpeg4"}.get(name, "libx264")
        sound = sound and name != "a.webm"  # WebM holds no AAC
        options = {"movflags": "faststart"} if name == "a.mp4" else {}
        path = write(tmp_path / name, SECOND, codec=codec, sound=sound, options=options)
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) * 4 // 5])
        with pytest.warns(UserWarning, match="broken or truncated: "):
            assert 1 <= len(list(iter_frames(path))) <= 25

    def test_a_lost_index_is_refused(self, tmp_path):
        path = Path(write(tmp_path / "a.mp4", SECOND, codec="mpeg4"))
        path.write_bytes(path.read_bytes().replace(b"moov", b"free"))
        with pytest.raises(VideoError, match=r"begins as mp4, and its index is lost"):
            next(iter_frames(path))

    def test_a_codec_without_decoder(self, tmp_path):
        path = Path(write(tmp_path / "a.mkv", SECOND))
        content = path.read_bytes()
        assert b"V_MPEG4/ISO/AVC" in content
        path.write_bytes(content.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ"))
        with pytest.raises(VideoError, match="is encoded in a way for which there is no decoder"):
            next(iter_frames(path))


class TestBursts:
    @pytest.mark.parametrize(
        ("options", "indices"),
        [
            ({"every": 10, "burst": 3}, [0, 1, 2, 10, 11, 12, 20, 21, 22]),
            ({"every": 0.4, "burst": 2}, [0, 1, 10, 11, 20, 21]),
            ({"every": 10, "burst": 3, "max_frames": 4}, [0, 1, 2, 10]),
            ({"every": 2, "burst": 9}, list(range(25))),
        ],
    )
    def test_take_frames_in_a_row(self, tmp_path, options, indices):
        path = write(tmp_path / "a.mp4", SECOND)
        assert [frame.index for frame in read(path, **options)] == indices

    @pytest.mark.parametrize("burst", [0, 1.5, None])
    def test_refuse_other_lengths(self, burst):
        with pytest.raises(
            ValueError, match=r"'burst' parameter of iter_frames must be an int in the range \[1"
        ):
            iter_frames("a.mp4", burst=burst)


class TestFoldersOfFrames:
    def test_come_in_the_order_of_their_numbers(self, tmp_path):
        for number in (2, 10, 1, 33):
            image = Image.fromarray(np.full((20, 30, 3), number, np.uint8))
            image.save(tmp_path / f"frame_{number}.png")
        (tmp_path / "notes.txt").touch()
        frames = read(tmp_path)
        assert [frame.image[0, 0, 0] for frame in frames] == [1, 2, 10, 33]
        assert [frame.index for frame in frames] == [0, 1, 2, 3]
        assert [frame.time for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])
        assert [frame.index for frame in read(tmp_path, every=3)] == [0, 3]
        assert np.array_equal(frames[2].image, load_image(tmp_path / "frame_10.png"))

    def test_refuse(self, tmp_path):
        with pytest.raises(VideoError, match="is a folder without pictures; expected a clip or"):
            next(iter_frames(tmp_path))
        (tmp_path / "1.png").write_bytes(b"hello")
        with pytest.raises(VideoError, match=r"holds a frame that cannot be read as a picture"):
            next(iter_frames(tmp_path))


@pytest.mark.parametrize(
    ("error", "said"),
    [(av.error.InvalidDataError(1, "broken"), "broken"), (IndexError(), "its streams change")],
)
def test_an_error_between_packets_is_noted(error, said):
    class Container:
        def demux(self, stream):
            yield "packet"
            raise error

    faults = []
    assert list(_packets(Container(), None, faults)) == ["packet"]
    assert faults == [said]
