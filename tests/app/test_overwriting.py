"""Commands never overwrite their inputs, nor, without --overwrite, other files that guidedstyle did not make."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image
from support.command_server import CommandServer
from support.commands import run
from support.images import draw_image

import guidedstyle
from guidedstyle.app.jobs import Failure, Job, list_orders, make_jobs, protect_outputs
from guidedstyle.app.render import Renderer, attempt_jobs, render_job
from guidedstyle.app.sweep import Sweep
from guidedstyle.app.variants import make_variants, parse_axis
from guidedstyle.errors import ExitCode, GuidedStyleError, RenderFailedError
from guidedstyle.io.ownership import is_ours
from guidedstyle.recipe.loading.loader import load_recipe
from guidedstyle.results.result import Result
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import Every, RenderOptions
from guidedstyle.run.reporter import SilentReporter
from guidedstyle.training.distil import prepare_training

TINY = ("--size", "32", "--steps", "2", "--device", "cpu")
RECIPE = "style: ink.png\ncontent: photo.png\n"


def read_all(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refuse(folder: Path, *command: str, said: str) -> None:
    """Run a command that must be refused and must change nothing."""
    before = read_all(folder)
    done = run(*command, folder=folder)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Nothing was written" in done.stderr
    assert read_all(folder) == before


@pytest.mark.parametrize("name", ["r.png", "r.preview.png", "r.watch.png", "r.png.json", "r.png.state"])
@pytest.mark.parametrize("key", ["content", "style", "init"])
def test_no_file_of_a_render_overwrites_its_inputs(project: Path, key: str, name: str) -> None:
    shutil.copy(project / "photo.png", project / name)
    keys = {"content": "photo.png", "style": "ink.png", key: name}
    (project / "r.yaml").write_text("".join(f"{one}: {file}\n" for one, file in keys.items()))
    with pytest.raises(GuidedStyleError, match=f"{name} would overwrite {key if key != 'style' else 'styles'}"):
        load_recipe(project / "r.yaml")


@pytest.mark.parametrize("recipe", ["r.png.json", "r.png.state"])
def test_a_recipe_is_not_overwritten_by_files_next_to_its_output(project: Path, recipe: str) -> None:
    (project / recipe).write_text(f"{RECIPE}output: r.png\n")
    with pytest.raises(GuidedStyleError, match=f"{recipe} would overwrite the recipe"):
        load_recipe(project / recipe)


@pytest.mark.parametrize("name", ["r.preview.png", "r.watch.png"])
def test_a_finished_image_with_the_name_of_a_preview_is_not_overwritten(project: Path, name: str) -> None:
    (project / "r.yaml").write_text(RECIPE)
    (project / name).write_bytes(b"the image so far")
    assert load_recipe(project / "r.yaml")
    (project / f"{name}.json").write_text("{}")
    with pytest.raises(GuidedStyleError, match=f"{name} would overwrite a finished image"):
        load_recipe(project / "r.yaml")


@pytest.mark.parametrize("sandbox", [(), ("--sandbox",)], ids=["free", "sandbox"])
@pytest.mark.parametrize("output", ["output: .", "output: /", "output: ink.png/.."])
def test_a_folder_is_not_an_output(project: Path, output: str, sandbox: tuple[str, ...]) -> None:
    (project / "r.yaml").write_text(f"{RECIPE}{output}\n")
    refuse(project, "render", "r.yaml", *sandbox, said="does not have the suffix of an image")


def test_inputs_of_an_invalid_recipe_of_the_call_are_not_overwritten(project: Path) -> None:
    (project / "a.yaml").write_text(RECIPE)
    (project / "b.yaml").write_text("content: a.png\nstyle: nowhere.png\n")
    shutil.copy(project / "photo.png", project / "a.png")
    for other in ("b.yaml", "a.png"):
        good, _ = make_jobs(list_orders([project / "a.yaml", project / other]))
        assert isinstance(good, Failure)
        assert "a.png would overwrite" in str(good.error)


def test_a_recipe_given_twice_is_rendered_once(project: Path) -> None:
    (project / "a.yaml").write_text(RECIPE)
    assert [type(job) for job in make_jobs(list_orders([project / "a.yaml"] * 2))] == [Job, Failure]


def test_no_variant_overwrites_an_input_of_another(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    shutil.copy(project / "photo.png", project / "content=photo.png.png")
    vary = ("--vary", "content=photo.png,content=photo.png.png")
    said = "content=photo.png.png would overwrite content"
    refuse(project, "sweep", "r.yaml", *vary, "-o", ".", *TINY, said=said)


@pytest.mark.slow
def test_a_report_does_not_overwrite_the_recipe(project: Path) -> None:
    (project / "r.html").write_text(RECIPE)
    refuse(project, "render", "r.html", *TINY, "--report", "r.html", said="r.html would overwrite the recipe")


@pytest.mark.slow
def test_an_image_used_as_a_recipe_is_not_overwritten(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    assert run("render", "r.yaml", *TINY, folder=project).returncode == 0
    refuse(project, "render", "r.png", *TINY, "-o", "r.png", said="r.png would overwrite the recipe")


@pytest.mark.slow
def test_frames_that_a_render_starts_from_are_not_deleted(project: Path) -> None:
    frame = project / "r.png.frames" / "000002.png"
    frame.parent.mkdir()
    shutil.copy(project / "photo.png", frame)
    (project / "r.yaml").write_text(f"{RECIPE}init: {frame.relative_to(project)}\n")
    refuse(project, "render", "r.yaml", *TINY, "--save-every", "1", said="000002.png would overwrite init.file")
    assert run("render", "r.yaml", *TINY, folder=project).returncode == 0  # nothing is cleared away here
    assert frame.exists()


@pytest.mark.parametrize("name", ["sheet.png", "table.csv", "smoothness=2.png.json", "smoothness=1.png"])
def test_a_sweep_does_not_overwrite_its_inputs(project: Path, name: str) -> None:
    shutil.copy(project / "photo.png", project / name)
    (project / "r.yaml").write_text(f"content: {name}\nstyle: ink.png\n")
    refuse(project, "sweep", "r.yaml", "--vary", "smoothness=1,2", *TINY, "-o", ".", said=f"{name} would overwrite")


@pytest.mark.parametrize("name", ["r-sweep", "r-sweep/sheet.png", "r-sweep/smoothness=1.png"])
def test_a_sweep_in_a_sandbox_stays_in_it(project: Path, name: str) -> None:
    inside, link = project / "inside", project / "inside" / name
    link.parent.mkdir(parents=True)
    for file in ("photo.png", "ink.png"):
        shutil.copy(project / file, inside)
    (inside / "r.yaml").write_text(RECIPE)
    link.symlink_to(project / "victim")
    command = ("sweep", "inside/r.yaml", "--vary", "smoothness=1,2", *TINY, "--sandbox")
    refuse(project, *command, said=f"--sandbox: inside/{name}")


@pytest.mark.slow
def test_links_among_frames_are_not_part_of_a_film(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    frames = project / "r.png.frames"
    frames.mkdir()
    (frames / "000001.png").symlink_to(project / "secret.png")
    draw_image(32, 32, 3).save(project / "secret.png")
    film = ("--save-every", "2", "--timelapse", "film.avi")
    assert run("render", "r.yaml", *TINY, *film, "--resume", folder=project).returncode == 0
    assert (frames / "000001.png").is_symlink()
    assert count_frames(project / "film.avi") == 1 + 6  # the last one stays


def count_frames(film: Path) -> int:
    import cv2

    video, count = cv2.VideoCapture(str(film)), 0
    while video.read()[0]:
        count += 1
    return count


@pytest.mark.slow
def test_frames_of_an_earlier_render_are_not_part_of_a_film(project: Path) -> None:
    (project / "r.yaml").write_text(f"{RECIPE}solver: {{tolerance: 0}}\n")
    frames, size = project / "r.png.frames", ("--size", "32", "--device", "cpu")
    assert run("render", "r.yaml", *size, "--steps", "6", "--save-every", "2", folder=project).returncode == 0
    assert [file.name for file in sorted(frames.iterdir())] == ["000002.png", "000004.png", "000006.png"]
    again = ("--steps", "4", "--set", "solver.seed=5", "--resume", "--save-every", "2")
    assert run("render", "r.yaml", *size, *again, folder=project).returncode == 0
    assert [file.name for file in sorted(frames.iterdir())] == ["000002.png", "000004.png"]


@pytest.mark.slow
def test_a_comparison_does_not_overwrite_inputs_of_a_compared_image(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    assert run("render", "r.yaml", *TINY, folder=project).returncode == 0
    (project / "r.png.json").unlink()
    refuse(project, "compare", "r.png", "photo.png", "-o", "ink.png", said="ink.png would overwrite ink.png")


HAND_PAINTED = "painted by hand"
FRAMES, FILM, PAGE = ("--save-every", "1"), ("--timelapse", "film.avi"), ("--report", "page.html")
SWEEP = ("sweep", "r.yaml", "--vary", "smoothness=1,2", "-o", "out")
FOREIGN = [  # a file, and the command that would replace or delete it
    ("r.png", ("render", "r.yaml")),
    ("r.png", ("render", "r.yaml", "--dry-run")),
    ("r.png", ("render", "r.yaml", "--resume")),
    ("r.png.json", ("render", "r.yaml")),
    ("r.preview.png", ("render", "r.yaml", "--preview-every", "off")),
    ("r.png.state", ("render", "r.yaml", "--checkpoint-every", "off")),
    ("r.png.state.old", ("render", "r.yaml")),
    (".r.png.lock", ("render", "r.yaml")),
    ("r.png.frames/000007.png", ("render", "r.yaml", *FRAMES)),
    ("r.png.frames/000007.png", ("render", "r.yaml", *FILM)),
    ("film.avi", ("render", "r.yaml", *FILM)),
    ("page.html", ("render", "r.yaml", *PAGE)),
    ("sky.png", ("render", "sky.yaml")),  # whose `output:` names it
    ("sky.jpg", ("render", "r.yaml", "-o", "sky.jpg")),
    ("sky.TIF", ("render", "r.yaml", "-o", "sky.TIF")),
    ("sky.webp", ("render", "r.yaml", "-o", "sky.webp")),
    ("sky.ora", ("render", "r.yaml", "--set", "output=sky.ora")),
    ("out/photo.png", ("render", "r.yaml", "--content", "photo.png", "-o", "out")),
    ("out/sheet.png", SWEEP),
    ("out/sheet.png", (*SWEEP, "--dry-run")),
    ("out/table.csv", SWEEP),
    ("out/.sheet.png.lock", SWEEP),
    ("out/smoothness=2.png", SWEEP),
    ("out/smoothness=2.png.json", SWEEP),
    ("sheet.png", ("mask", "show", "r.yaml", "-o", "sheet.png")),
    ("sheet.jpg", ("masks", "r.yaml", "-o", "sheet.jpg")),
    ("compare.png", ("compare", "photo.png", "ink.png")),
]


@pytest.mark.parametrize(("name", "command"), FOREIGN, ids=[f"{name} {' '.join(one)}" for name, one in FOREIGN])
def test_a_file_that_guidedstyle_did_not_make_is_kept(
    project: Path, server: CommandServer, name: str, command: tuple[str, ...]
) -> None:
    (project / "out").mkdir()
    (project / "r.yaml").write_text(RECIPE)
    (project / "sky.yaml").write_text(f"{RECIPE}output: sky.png\n")
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(HAND_PAINTED)
    (problem,) = server.refuse(project, *command)
    assert f"{name}: it exists, and guidedstyle did not make it" in problem
    assert "-o" in problem
    assert "--overwrite" in problem
    assert (project / name).read_text() == HAND_PAINTED


@pytest.mark.parametrize("target", ["nowhere.png", "photo.png", "painted.png", "chain.png"])
@pytest.mark.parametrize("name", ["r.png", "r.png.json", "r.preview.png", "r.png.state"])
def test_a_link_as_output_is_refused(project: Path, server: CommandServer, name: str, target: str) -> None:
    (project / "r.yaml").write_text(RECIPE)
    draw_image(8, 8, 1).save(project / "painted.png")
    (project / "chain.png").symlink_to("painted.png")
    (project / name).symlink_to(target)
    for flags in ((), ("--overwrite",)):
        (problem,) = server.refuse(project, "render", "r.yaml", *flags)
        assert "would overwrite content" in problem if target == "photo.png" else f"{name}: it is a link to" in problem
    assert (project / name).readlink() == Path(target)


@pytest.fixture
def own(project: Path) -> Path:
    """Render a recipe with everything that can be written next to its image."""
    (project / "r.yaml").write_text(f"{RECIPE}size: 32\nsolver: {{steps: 2, sizes: 1}}\n")
    guidedstyle.render(project / "r.yaml", device="cpu", options=write_all(project))
    return project


def write_all(project: Path, *, overwrite: bool = False) -> RenderOptions:
    every = Every(steps=1)
    return RenderOptions(
        previews=every,
        frames=every,
        checkpoints=every,
        timelapse=project / "film.avi",
        report=project / "page.html",
        overwrite=overwrite,
    )


def test_everything_that_a_render_wrote_may_be_replaced_by_the_next(own: Path) -> None:
    written = ["r.png", "r.png.json", "film.avi", "page.html", "r.png.frames/000001.png", "r.png.frames/000002.png"]
    assert all(is_ours(own / name) for name in written)
    (own / "r.yaml").write_text((own / "r.yaml").read_text().replace("size: 32", "size: 40"))
    before = read_all(own)
    guidedstyle.render(own / "r.yaml", device="cpu", options=write_all(own))
    assert all((own / name).read_bytes() != before[own / name] for name in written)


@pytest.mark.parametrize("name", ["r.png", "film.avi", "page.html", "r.png.frames/000002.png"])
def test_what_the_user_changed_since_is_kept(own: Path, name: str) -> None:
    with (own / name).open("r+b") as file:
        file.seek(200)
        file.write(b"x")
    before = read_all(own)
    with pytest.raises(GuidedStyleError, match=f"{name}: it exists, and .* or it was changed since"):
        guidedstyle.render(own / "r.yaml", device="cpu", options=write_all(own))
    assert read_all(own) == before
    guidedstyle.render(own / "r.yaml", device="cpu", options=write_all(own, overwrite=True))
    assert is_ours(own / name)


def test_an_image_painted_over_is_skipped_by_resume_and_not_saved_over(own: Path) -> None:
    with Image.open(own / "r.png") as picture:
        picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(own / "r.png")
    painted = (own / "r.png").read_bytes()
    (job,) = protect_outputs(make_jobs(list_orders([own / "r.yaml"])), RenderOptions(resume=True))
    assert isinstance(job, Job)
    assert render_job(job, Renderer("cpu"), options=RenderOptions(resume=True)) is None
    result = guidedstyle.render(own / "r.yaml", device="cpu")
    for file in (None, own / "r.png", str(own / "photo.png")):
        with pytest.raises(GuidedStyleError, match="overwrite"):
            result.save(file)
    assert (own / "r.png").read_bytes() == painted
    result.save(overwrite=True)
    result.save()
    assert is_ours(own / "r.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".ora"])
def test_a_result_is_saved_again_to_its_own_file_only(own: Path, suffix: str) -> None:
    result = guidedstyle.render(own / "r.yaml", device="cpu")
    file = own / f"other{suffix}"
    assert result.save(file) == result.save(file) == file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(GuidedStyleError, match="guidedstyle did not make it"):
        result.save(file)
    (own / f"another{suffix}.json").write_text("{}")
    with pytest.raises(GuidedStyleError, match=f"another{suffix}.json: it exists"):
        result.save(own / f"another{suffix}")
    assert not (own / f"another{suffix}").exists()


def test_an_image_painted_while_another_renders_is_kept(own: Path) -> None:
    def paint(update: object) -> bool:
        (own / "r.png").write_text(HAND_PAINTED)
        (own / "r.preview.png").write_text(HAND_PAINTED)
        return True

    (own / "r.yaml").write_text((own / "r.yaml").read_text().replace("size: 32", "size: 40"))
    with pytest.raises(RenderFailedError, match=r"r.png is not written, but kept as .*guidedstyle-.*r.png") as error:
        guidedstyle.render(own / "r.yaml", paint, device="cpu", options=RenderOptions(previews=Every(steps=1)))
    assert (own / "r.png").read_text() == (own / "r.preview.png").read_text() == HAND_PAINTED
    kept = Path(str(error.value).partition("kept as ")[2].partition(": ")[0])
    assert is_ours(kept)
    shutil.rmtree(kept.parent)


class SecondNames(SilentReporter):
    """Gives each written image a second name, as disks that ignore case do; keeps the last error."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names, self.error = names, ""

    def ended(self, name: str, output: Path, record: object, *, known: bool) -> None:
        output.with_name(self.names[output.name]).hardlink_to(output)

    def failed(self, name: str, error: Exception) -> None:
        self.error = str(error)


def test_of_two_outputs_that_are_one_file_on_this_disk_the_second_is_not_rendered(own: Path) -> None:
    for name in ("A.png", "a.png"):
        (own / f"{name}.yaml").write_text((own / "r.yaml").read_text() + f"output: {name}\n")
    reporter, renderer = SecondNames({"A.png": "a.png"}), Renderer("cpu")
    jobs = make_jobs(list_orders([own / "A.png.yaml", own / "a.png.yaml"]))

    def render(job: Job) -> Result | None:
        return render_job(job, renderer, options=RenderOptions(), reporter=reporter)

    codes = attempt_jobs(jobs, render, reporter=reporter, stop=StopRequest())
    assert codes == [ExitCode.DONE, ExitCode.USER_ERROR]
    assert "a.png would overwrite that of" in reporter.error
    assert is_ours(own / "A.png")


def test_variants_that_are_one_file_on_this_disk_are_not_rendered_over_each_other(own: Path) -> None:
    for name in ("A", "a"):
        shutil.copy(own / "photo.png", own / name)
    variants = make_variants(own / "r.yaml", [parse_axis("content=A,a")], (), folder=own)
    reporter = SecondNames({"content=A.png": "content=a.png"})
    sweep = Sweep(variants, columns=2, folder=own, renderer=Renderer("cpu"), reporter=reporter)
    sweep.plan()
    assert sweep.run() == [ExitCode.DONE, ExitCode.USER_ERROR, ExitCode.DONE]
    assert "content=a.png would overwrite content=A" in reporter.error


def test_a_sweep_run_again_replaces_its_sheet_and_table_but_not_an_edited_table(own: Path) -> None:
    folder = own / "out"
    folder.mkdir()

    def sweep(values: str, *, overwrite: bool = False) -> list[ExitCode]:
        variants = make_variants(own / "r.yaml", [parse_axis(f"smoothness={values}")], (), folder=folder)
        one = Sweep(variants, columns=2, folder=folder, renderer=Renderer("cpu"), overwrite=overwrite)
        one.plan()
        return one.run()

    assert set(sweep("1,2")) == {ExitCode.DONE}
    assert set(sweep("1,3")) == {ExitCode.DONE}
    table = (folder / "table.csv").read_text().replace("file,", "rating,file,")
    (folder / "table.csv").write_text(table)
    sheet = (folder / "sheet.png").read_bytes()
    assert sweep("1,4")[-1] == ExitCode.USER_ERROR
    assert (folder / "table.csv").read_text() == table
    assert (folder / "sheet.png").read_bytes() == sheet
    assert set(sweep("1,4", overwrite=True)) == {ExitCode.DONE}
    assert is_ours(folder / "table.csv")


def test_training_does_not_replace_files_of_others(project: Path) -> None:
    for name in ("mine.safetensors", "mine.ckpt"):
        file = project / name
        file.write_text(HAND_PAINTED)
        with pytest.raises(GuidedStyleError, match=f"{name}: it exists, and guidedstyle did not make it"):
            prepare_training([project], project / "teacher.pth", project / "mine.safetensors")
        file.unlink()
    teacher = project / "teacher.safetensors"
    teacher.write_text(HAND_PAINTED)
    with pytest.raises(GuidedStyleError, match="would overwrite the teacher"):
        prepare_training([project], teacher, teacher, overwrite=True)


def test_check_tells_which_files_a_render_would_not_replace(project: Path, server: CommandServer) -> None:
    (project / "r.yaml").write_text(RECIPE)
    (project / "r.png").write_text(HAND_PAINTED)
    said = "warning: r.png exists, and guidedstyle did not make it: render needs --overwrite, or -o"
    assert said in server.accept(project, "check", "r.yaml").out
    (project / "r.png").unlink()
    assert "guidedstyle did not make it" not in server.accept(project, "check", "r.yaml").out
