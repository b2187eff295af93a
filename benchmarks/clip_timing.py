"""Clip timing: how fast clips are decoded, searched and counted, and what a long one needs.

    python benchmarks/clip_timing.py --data FOLDER [--minutes N] [--every N]

A clip of FOLDER is repeated without encoding it again until it is as long as asked for, and
scored by itself, as is a tenth of it: peak memory of a process each.
"""

import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
from options import make_parser
from sklearn.frozen import FrozenEstimator

from skfakespotter import (
    FaceAligner,
    NeuronCoverageTransformer,
    load_clips,
    make_clipspotter,
    make_fakespotter,
    make_pictures,
)
from skfakespotter.video import VideoScorer, compress_frames, iter_frames

RATE = 25  # frames a second of copies; their times are not looked at


def measure_speed(paths, options):
    """Time the stages in seconds of one process, nothing from the cache.

    Seconds are the processor's, so that what else runs on the machine does not count.

    Returns
    -------
    list of (str, float)
        Stage, frames a second.
    """
    aligner = FaceAligner(options.detector)
    start = time.process_time()
    n_frames = sum(1 for path in paths for _ in iter_frames(path, max_frames=options.frames))
    decoded = time.process_time()
    spotter = make_clipspotter(max_frames=options.frames, aligner=aligner)
    tracks = [track for clip in spotter.follow_clips(paths) for track in clip]
    followed = time.process_time()
    crops = [crop for track in tracks for crop in track.crops]
    coverage = NeuronCoverageTransformer(granularity="channel", threshold=0.0).fit(crops[:2])
    fitted = time.process_time()
    coverage.transform(crops)
    counted = time.process_time()
    return [
        ("decoded alone", n_frames / (decoded - start)),
        ("decoded twice, faces found, followed and cropped", n_frames / (followed - decoded)),
        ("neurons counted", len(crops) / (counted - fitted)),
    ]


def compress_clips(paths, folder, crf, n_frames):
    """Write copies of the first frames of clips, encoded by H.264 again; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for number, path in enumerate(paths):
        copy = folder / f"{number:05d}_{Path(path).stem}.mkv"
        if not copy.is_file():
            part = copy.with_suffix(".part.mkv")
            frames = compress_frames(iter_frames(path, max_frames=n_frames), crf)
            write_lossless(part, frames)
            part.replace(copy)
        copies.append(str(copy))
    return copies


def write_lossless(path, frames):
    """Keep frames as they are: what the codec lost is lost, and nothing more."""
    with av.open(str(path), "w") as container:
        stream = None
        for number, frame in enumerate(frames):
            if stream is None:
                stream = container.add_stream("ffv1", rate=RATE)
                stream.height, stream.width = frame.image.shape[:2]
                stream.pix_fmt = "bgr0"
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def repeat_clip(source, target, seconds):
    """Repeat a clip's packets, without decoding any, until it lasts so many seconds."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as container:
        read = clip.streams.video[0]
        stream, base = container.add_stream_from_template(read), read.time_base
        packets = [packet for packet in clip.demux(read) if packet.dts is not None]
        shown = [(packet.pts, packet.dts, bytes(packet), packet.is_keyframe) for packet in packets]
        first = shown[0][1]
        length = (shown[1][1] - first) * len(shown)
        for turn in range(round(seconds / float(length * base) + 0.5)):
            for pts, dts, data, is_keyframe in shown:
                packet = av.Packet(data)
                packet.pts, packet.dts = pts - first + turn * length, dts - first + turn * length
                packet.time_base, packet.is_keyframe, packet.stream = base, is_keyframe, stream
                container.mux(packet)


def score_alone(path, every):
    """Score a clip, print frames, faces and the peak of this process's memory in MB."""
    detector = make_fakespotter("toy_image", align=False, random_state=0)
    detector.fit(*make_pictures(40, random_state=0))
    (clip,) = VideoScorer(FrozenEstimator(detector), every=every).score_clips([path])
    faces = sum(len(track.frames) for track in clip.tracks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(len(clip.frames), faces, f"{clip.times[-1]:.0f}", f"{peak:.0f}")


def main(arguments=None):
    """Make a long clip and a short one, and score each in a process of its own."""
    parser = make_parser(__doc__, data="FaceForensics++")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=int, default=50, help="frames; one of so many is searched")
    parser.add_argument("--score", help="score this clip alone")
    options = parser.parse_args(arguments)
    if options.score:
        score_alone(options.score, options.every)
        return
    source = load_clips(options.data).data[0]
    for part in (0.1, 1.0):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "long.mp4"
            repeat_clip(source, target, 60 * options.minutes * part)
            command = [sys.executable, __file__, "--data", str(options.data)]
            command += ["--every", str(options.every), "--score", str(target)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        frames, faces, seconds, peak = said.split()[-4:]
        print(f"{seconds} s: {frames} frames searched, {faces} faces, peak {peak} MB", flush=True)


if __name__ == "__main__":
    main()
