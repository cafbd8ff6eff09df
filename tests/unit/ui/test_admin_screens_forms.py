"""Forms, drawers and questions: entries stay, problems stand beside fields, nothing is saved twice or unseen."""

from streamlit.testing.v1 import AppTest

from models.domain.errors import BadRequest, NotPermitted, Outdated


class Shelf:
    """Something to edit, with a version, as a service would keep it."""

    def __init__(self) -> None:
        self.name, self.size, self.version = "first", 3, 1
        self.saved: list[tuple[str, int | None]] = []
        self.trouble: list[Exception] = []

    def save(self, name: str, size: int | None, version: int) -> None:
        if self.trouble:
            raise self.trouble.pop()
        if version != self.version:
            raise Outdated
        self.saved.append((name, size))
        self.name, self.version = name, version + 1


def page(shelf) -> None:  # without types: AppTest runs its text alone
    import streamlit as st

    from ui.parts import confirm, drawers
    from ui.parts.flash import show_flashes
    from ui.parts.forms import Form

    show_flashes()

    def drawer() -> None:
        form = Form(
            "thing", drawers.subject_id(), lambda: (shelf.name, shelf.size, shelf.version), drawers.close_drawer
        )
        name, size, version = form.subject
        entered = form.text("name", "Name", name)
        number = form.whole("size", "Size", size)
        if form.save_button():
            form.save(lambda: shelf.save(entered, number, version), "It was saved.")

    def delete() -> None:
        shelf.save("deleted", None, shelf.version)

    if drawers.is_open():
        drawers.show_drawer("Edit *it*", drawer)
    st.button("Delete", key="delete", on_click=confirm.ask, args=("delete",))
    question = confirm.Question("Delete it?", "It is gone then.", yes="Delete it", done="It was deleted.", word="first")
    confirm.confirm("delete", question, delete)


def opened(shelf: Shelf, **parameters: str) -> AppTest:
    app = AppTest.from_function(page, args=(shelf,))
    for name, value in parameters.items():
        app.query_params[name] = value
    return app.run()


def texts(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.error, app.warning, app.toast) for element in kind)


def test_a_drawer_is_open_as_long_as_the_address_says_so() -> None:
    assert not opened(Shelf()).text_input
    assert not opened(Shelf(), id="../7").text_input
    app = opened(Shelf(), id="7")
    assert app.text_input(key="thing-name").value == "first"
    app.button(key="thing-save").click().run()
    assert "id" not in app.query_params
    assert not app.text_input


def test_what_was_entered_is_saved_and_said() -> None:
    shelf = Shelf()
    app = opened(shelf, id="7")
    app.text_input(key="thing-name").set_value("  other ")
    app.number_input(key="thing-size").set_value(None)
    app.button(key="thing-save").click().run()
    assert shelf.saved == [("other", None)]
    assert "It was saved" in texts(app)


def test_problems_stand_beside_their_fields_and_entries_stay() -> None:
    shelf = Shelf()
    shelf.trouble = [BadRequest.of({"name": "another *one* has it.", "shape": "it must be round."})]
    app = opened(shelf, id="7")
    app.text_input(key="thing-name").set_value("taken")
    app.button(key="thing-save").click().run()
    assert ":small[:red[:material/error: another \\*one\\* has it\\.]]" in [told.value for told in app.markdown]
    assert "**Name**: another" in app.error[0].value
    assert "**Shape**: it must be round" in app.error[0].value
    assert app.text_input(key="thing-name").value == "taken"
    app.button(key="thing-save").click().run()
    assert shelf.saved == [("taken", 3)]
    assert not app.error


def test_a_refusal_is_told_in_the_form() -> None:
    shelf = Shelf()
    shelf.trouble = [NotPermitted("Only superusers may.")]
    app = opened(shelf, id="7")
    app.button(key="thing-save").click().run()
    assert app.error[0].value == "Only superusers may\\."
    assert app.text_input


def test_a_change_of_somebody_else_is_never_overwritten_unseen() -> None:
    shelf = Shelf()
    app = opened(shelf, id="7")
    shelf.name, shelf.version = "theirs", 2
    app.text_input(key="thing-name").set_value("mine")
    app.button(key="thing-save").click().run()
    assert shelf.saved == []
    assert "Somebody else has changed this" in app.warning[0].value
    assert app.text_input(key="thing-name").value == "mine"
    shelf.size = 9
    app.button(key="thing-rebase").click().run()
    assert app.text_input(key="thing-name").value == "mine"
    assert app.number_input(key="thing-size").value == 9
    assert "Somebody else changed this: theirs" in texts(app).replace("\\", "")
    app.button(key="thing-save").click().run()
    assert shelf.saved == [("mine", 9)]


def test_what_somebody_else_saved_can_be_taken_instead() -> None:
    shelf = Shelf()
    app = opened(shelf, id="7")
    shelf.name, shelf.version = "theirs", 2
    app.text_input(key="thing-name").set_value("mine")
    app.button(key="thing-save").click().run()
    app.button(key="thing-reload").click().run()
    assert app.text_input(key="thing-name").value == "theirs"


def test_another_subject_and_a_drawer_opened_again_begin_anew() -> None:
    for other in ("8", "7"):
        app = opened(Shelf(), id="7")
        app.text_input(key="thing-name").set_value("half typed").run()
        if other == "7":
            del app.query_params["id"]
            app.run()
        app.query_params["id"] = other
        app.run()
        assert app.text_input(key="thing-name").value == "first"


def test_a_form_that_is_being_saved_or_was_saved_is_not_saved_again() -> None:
    shelf = Shelf()
    app = opened(shelf, id="7")
    state = app.session_state["thing.form"]
    state.is_busy = True
    app.button(key="thing-save").click().run()
    assert shelf.saved == []
    state.is_busy, state.is_saved = False, True
    app.query_params["id"] = "7"
    app.button(key="thing-save").click().run()
    assert shelf.saved == []
    assert "id" not in app.query_params


def test_a_question_is_answered_by_yes_only_with_the_word_typed() -> None:
    shelf = Shelf()
    app = opened(shelf)
    app.button(key="delete").click().run()
    assert app.button(key="confirm-yes").disabled
    app.text_input(key="confirm-word").set_value("firs").run()
    assert app.button(key="confirm-yes").disabled
    app.text_input(key="confirm-word").set_value("first").run()
    app.button(key="confirm-yes").click().run()
    assert shelf.saved == [("deleted", None)]
    assert "It was deleted" in texts(app)
    assert not app.text_input


def test_no_is_no() -> None:
    shelf = Shelf()
    app = opened(shelf)
    app.button(key="delete").click().run()
    app.button(key="confirm-no").click().run()
    assert not app.text_input
    assert shelf.saved == []


def test_what_is_refused_after_a_question_is_told_in_it() -> None:
    shelf = Shelf()
    shelf.trouble = [NotPermitted("Not you.")]
    app = opened(shelf)
    app.button(key="delete").click().run()
    app.text_input(key="confirm-word").set_value("first").run()
    app.button(key="confirm-yes").click().run()
    assert app.error[0].value == "Not you\\."
    assert app.text_input
