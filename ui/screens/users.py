"""Users: who they are, what they may do, and letting in those who have registered. Staff see, superusers change."""

from dataclasses import replace

import streamlit as st

from models.domain.people import Profile, Standing, User
from services.people import accounts, groups, sessions
from ui import context, session, sockets
from ui.parts import drawers, people, pickers, tables, times
from ui.parts.amounts import counted
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form
from ui.parts.listings import choose, heading, search
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look

db, settings = context.database(), context.settings()
NEW = Profile("", "", "")
MOMENT = st.column_config.TextColumn(width=tables.MOMENT)


def look(names: dict[int, str]) -> Look[User]:
    """The list of users."""
    return Look[User](
        [
            Column("Username", lambda user: user.username),
            people.standing_column(),
            Column("Name", lambda user: user.full_name),
            Column("Mail address", lambda user: user.profile.email),
            Column("Department", lambda user: user.profile.department),
            Column("Groups", lambda user: ", ".join(name for group, name in names.items() if group in user.groups)),
            people.rights_column(),
            Column("Last login", lambda user: times.moment(user.last_login_at), MOMENT),
        ],
        alt="Users",
        identity=lambda user: user.id,
        noun="user",
        button="Edit" if session.actor().is_superuser else "Open",
        empty="No user matches. Look at all standings, or search for another name, mail address or department.",
    )


def add() -> None:
    """The drawer for a new account."""
    actor = session.actor()
    form = Form("new-user", "new", lambda: None, drawers.close_drawer)
    if not actor.is_superuser:
        st.info("Only superusers may add users.")
        return
    st.caption("A mail with a link to choose a password goes to the new user.")
    hint = "It never changes, and is never given to anybody else."
    username = form.text("username", "Username", "", max_chars=150, help=hint, autocomplete="off")
    profile = profile_fields(form, NEW, is_fixed=False)
    chosen = pickers.pick_groups(form, "groups", "Groups", groups.names(db, actor), ())
    is_staff, is_superuser = flag_fields(form, is_staff=False, is_superuser=False, is_fixed=False)
    with form.buttons():
        is_saved = form.save_button("Add user")
    if is_saved:
        form.save(
            lambda: accounts.add(db, settings, actor, username, profile, chosen, is_staff, is_superuser),
            f"The user {username} was added, and gets a mail.",
        )


def edit() -> None:
    """The drawer with all that an account is."""
    actor, opened = session.actor(), drawers.subject_id()
    form = Form("user", opened, lambda: asked(lambda: accounts.get(db, actor, opened)), drawers.close_drawer)
    user = form.subject
    draw_facts(user)
    is_fixed = not actor.is_superuser
    if is_fixed:
        st.info("Only superusers may change accounts.")
    st.text_input("Username", user.username, key=form.key("username"), disabled=True, help="It never changes.")
    profile = profile_fields(form, user.profile, is_fixed)
    names = groups.names(db, actor)
    chosen = pickers.pick_groups(form, "groups", "Groups", names, user.groups, disabled=is_fixed)
    is_staff, is_superuser = flag_fields(form, user.is_staff, user.is_superuser, is_fixed)
    hint = "Untick it instead of deleting an account: its jobs stay, and nobody else ever gets its name."
    is_active = form.tick("is_active", "Active", user.is_active, disabled=is_fixed, help=hint)
    changed = replace(
        user, profile=profile, groups=chosen, is_active=is_active, is_staff=is_staff, is_superuser=is_superuser
    )
    if not is_fixed:
        draw_buttons(form, user, changed)


def draw_facts(user: User) -> None:
    """What nobody enters: how far the account is, and since when."""
    with st.container(horizontal=True, vertical_alignment="center"):
        people.standing_pill(user)
        browsers = counted(sessions.count(db, session.actor(), user.id), "browser")
        last = f"Last login {times.moment(user.last_login_at)}." if user.last_login_at else "Never signed in."
        st.caption(f"Joined {times.moment(user.joined_at)}. {last} Signed in with {browsers}.")


def profile_fields(form: Form[User] | Form[None], profile: Profile, is_fixed: bool) -> Profile:
    """What a person tells about themselves."""
    email = form.text("email", "Mail address", profile.email, max_chars=254, disabled=is_fixed)
    left, right = st.columns(2)
    with left:
        first = form.text("first_name", "First name", profile.first_name, max_chars=150, disabled=is_fixed)
    with right:
        last = form.text("last_name", "Last name", profile.last_name, max_chars=150, disabled=is_fixed)
    left, right = st.columns(2)
    with left:
        phone = form.text("phone_number", "Phone number", profile.phone_number, max_chars=64, disabled=is_fixed)
    with right:
        department = form.text("department", "Department", profile.department, max_chars=128, disabled=is_fixed)
    return Profile(email, first, last, phone, department)


def flag_fields(form: Form[User] | Form[None], is_staff: bool, is_superuser: bool, is_fixed: bool) -> tuple[bool, bool]:
    """What somebody may do beyond their groups."""
    hint = "Staff are administrators: they see all jobs, and change groups, servers, folders and project settings."
    staff = form.tick("is_staff", "Staff status", is_staff, disabled=is_fixed, help=hint)
    hint = "Superusers have every permission, change accounts, and give rights that reach behind pseudonyms."
    return staff, form.tick("is_superuser", "Superuser status", is_superuser, disabled=is_fixed, help=hint)


def draw_buttons(form: Form[User], user: User, changed: User) -> None:
    """Save, approve, let in or shut out, and the mail with a link for a new password."""
    actor, name = session.actor(), user.username
    with form.buttons():
        is_saved = form.save_button()
        is_approved = user.standing is Standing.AWAITS_APPROVAL and form.button("approve", "Save and approve")
        is_shut_out = user.standing is Standing.ACTIVE and form.button("deactivate", "Deactivate")
        is_let_in = user.standing is Standing.DEACTIVATED and form.button("activate", "Activate")
        gets_link = user.standing is not Standing.DEACTIVATED and form.button("reset", "Send reset link")
    if is_saved:
        form.save(lambda: save(changed), f"The user {name} was saved.")
    if is_approved:
        form.save(lambda: approve(changed), f"The user {name} was approved, and gets a mail.")
    if is_shut_out:
        form.save(lambda: shut_out(user.id), f"The user {name} was deactivated and signed out.")
    if is_let_in:
        form.save(lambda: accounts.activate(db, actor, user.id), f"The user {name} can sign in again.")
    if gets_link and form.attempt(lambda: accounts.send_reset(db, settings, actor, user.id)):
        st.success(f"A link to choose a password is on its way to {escape_markdown(user.profile.email)}.")


def save(changed: User) -> None:
    """Save what was entered; what it takes away ends at once in the person's open pages."""
    accounts.update(db, session.actor(), changed)
    sockets.recheck(changed.id)


def shut_out(user_id: int) -> None:
    """Deactivate the account, and close the person's open pages."""
    accounts.deactivate(db, session.actor(), user_id)
    sockets.recheck(user_id)


def approve(changed: User) -> None:
    """Save what was entered, such as the groups, and then let the person in."""
    accounts.update(db, session.actor(), changed)
    accounts.approve(db, settings, session.actor(), changed.id)


def draw_waiting() -> None:
    """Say how many people wait for an administrator."""
    waiting = accounts.count(db, session.actor(), standing=Standing.AWAITS_APPROVAL)
    if waiting:
        told = counted(waiting, "user")
        st.warning(f"{told} {'awaits' if waiting == 1 else 'await'} approval.", icon=":material/how_to_reg:")


heading("Users", "Add user" if session.actor().is_superuser else "")
draw_waiting()
with st.container(horizontal=True, vertical_alignment="bottom"):
    text = search("users-q", hint="Name, mail address or department")
    standing = choose("users-standing", "Standing", {key: word for key, (word, _) in people.STANDINGS.items()})
total = asked(lambda: accounts.count(db, session.actor(), text, standing))
names = groups.names(db, session.actor())
opened = tables.paged_table(
    total,
    lambda limit, skip: accounts.list(db, session.actor(), text, standing, limit, skip),
    look(names),
    "users",
).opened
if opened:
    drawers.open_drawer(opened.id)
if drawers.is_open():
    is_new = not drawers.subject_id()
    drawers.show_drawer("Add user" if is_new else "User", add if is_new else edit)
