"""Users and groups: what the admin guide says of them can be done, by those who may, and by nobody else."""

from dataclasses import replace

import pytest

from models.db.people import UserStore
from models.domain.nodes import Folder, Server
from models.domain.people import WITHOUT_EFFECT, Group, NodeRight, Permission, Standing, User
from services import nodes
from services.people import accounts, groups
from tests.app_pages import Site, click, labels, told
from tests.people import a_profile, a_user, mails_to


def a_server(site: Site, name: str = "PACS") -> Server:
    return nodes.add_server(
        site.db, site.shell, Server(name, name.upper(), "pacs.example", 104, study_root_find_support=True)
    )


def a_folder(site: Site, name: str = "Archive") -> Folder:
    return nodes.add_folder(site.db, site.settings, site.shell, Folder(name, site.settings.data_dir / name))


def a_group(site: Site, name: str = "Radiologists", *permissions: Permission) -> Group:
    return groups.add(site.db, site.shell, Group(name, frozenset(permissions)))


def somebody_who_registered(site: Site, name: str = "carla") -> User:
    user = accounts.register(site.db, site.settings, name, a_profile(name), "violet-harbour-71", "192.0.2.9")
    return UserStore(site.db).confirm_email(user.id)


def test_the_first_steps_are_told_until_somebody_can_transfer(site: Site) -> None:
    user, hint = site.sign_in_superuser(), "Nobody can transfer anything yet"
    assert hint in told(site.open("administration")) and "(done)" not in told(site.open("administration"))
    server, folder = a_server(site), a_folder(site)
    assert told(site.open("administration")).count("(done)") == 2
    group = a_group(site, "Radiologists", Permission.ADD_SELECTIVE_TRANSFER)
    ways = frozenset({NodeRight(server.id, source=True), NodeRight(folder.id, destination=True)})
    groups.update(site.db, site.shell, replace(group, members=frozenset({user.id}), nodes=ways))
    assert hint not in told(site.open("administration"))


def test_a_group_is_made_with_all_that_the_guide_lists(site: Site) -> None:
    site.sign_in_superuser()
    user, server, folder = a_user(site.db, "bert"), a_server(site), a_folder(site)
    app = site.open("groups", id="new")
    app.text_input(key="group-name").set_value("Research Team")
    urgent = Permission.SELECTIVE_URGENT
    assert urgent.label == "selective_transfer | selective transfer job | Can process urgently"
    app.multiselect(key="group-permissions").set_value([urgent, Permission.READ_AUDIT])
    app.multiselect(key="group-members").set_value([user.id])
    app.checkbox(key=f"group-nodes-{server.id}-source").check()
    app.checkbox(key=f"group-nodes-{folder.id}-destination").check()
    assert {"Name", "Chosen permissions", "Chosen users"} <= labels(app)
    click(app, "group-save")
    (group,) = groups.list(site.db, site.shell)
    assert group.name == "Research Team"
    assert group.permissions == {urgent, Permission.READ_AUDIT}
    assert group.members == {user.id}
    assert group.nodes == {NodeRight(server.id, source=True), NodeRight(folder.id, destination=True)}
    assert "The group Research Team was saved." in told(app)
    assert "id" not in app.query_params


def test_a_folder_has_no_tick_for_source(site: Site) -> None:
    site.sign_in_superuser()
    folder = a_folder(site)
    app = site.open("groups", id="new")
    keys = {box.key for box in app.checkbox}
    assert f"group-nodes-{folder.id}-destination" in keys
    assert f"group-nodes-{folder.id}-source" not in keys


def test_staff_are_not_offered_rights_that_reach_behind_pseudonyms(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("groups", id="new")
    offered = app.multiselect(key="group-permissions").options
    assert Permission.SELECTIVE_URGENT.label in offered
    assert Permission.READ_ESCROW.label not in offered


def test_rights_to_what_this_version_cannot_do_are_not_offered_and_not_lost(site: Site) -> None:
    site.sign_in_superuser()
    offered = site.open("groups", id="new").multiselect(key="group-permissions").options
    assert set(offered) == {right.label for right in Permission} - {right.label for right in WITHOUT_EFFECT}
    group = a_group(site, "Early birds", Permission.UPLOAD, Permission.WEB_STORE)
    app = site.open("groups", id=str(group.id))
    app.text_input(key="group-name").set_value("Later birds")
    click(app, "group-save")
    kept = groups.get(site.db, site.shell, group.id)
    assert (kept.name, kept.permissions) == ("Later birds", {Permission.UPLOAD, Permission.WEB_STORE})


def test_a_group_with_such_rights_is_shown_to_staff_but_fixed(site: Site) -> None:
    site.sign_in_staff()
    group = a_group(site, "Reviewers", Permission.REVIEW_HELD)
    app = site.open("groups", id=str(group.id))
    assert "Only superusers may change it" in told(app)
    assert app.text_input(key="group-name").disabled
    assert not {"group-save", "group-remove"} & {button.key for button in app.button}


def test_a_name_that_is_taken_is_told_beside_it_and_nothing_is_lost(site: Site) -> None:
    site.sign_in_superuser()
    a_group(site, "Radiologists")
    app = site.open("groups", id="new")
    app.text_input(key="group-name").set_value("radiologists")
    app.multiselect(key="group-permissions").set_value([Permission.WEB_STORE])
    click(app, "group-save")
    assert "Another group has this name." in told(app)
    assert app.multiselect(key="group-permissions").value == [Permission.WEB_STORE]


def test_two_administrators_do_not_overwrite_one_another(site: Site) -> None:
    site.sign_in_superuser()
    group = a_group(site)
    app = site.open("groups", id=str(group.id))
    user = a_user(site.db, "bert")
    groups.update(site.db, site.shell, Group("Theirs", members=frozenset({user.id}), id=group.id, version=1))
    app.text_input(key="group-name").set_value("Mine")
    click(app, "group-save")
    assert groups.get(site.db, site.shell, group.id).name == "Theirs"
    assert "Somebody else has changed this" in told(app)
    click(app, "group-reload")
    assert app.text_input(key="group-name").value == "Theirs"
    assert app.multiselect(key="group-members").value == [user.id]


def test_a_group_is_deleted_once_its_name_was_typed(site: Site) -> None:
    site.sign_in_superuser()
    group = a_group(site)
    app = site.open("groups", id=str(group.id))
    assert app.button(key="group-remove").disabled
    app.text_input(key="group-remove-word").set_value("Radiologists").run()
    click(app, "group-remove")
    assert groups.list(site.db, site.shell) == ()
    assert "was deleted" in told(app)


def test_ticks_stay_when_a_filter_hides_them(site: Site) -> None:
    site.sign_in_superuser()
    servers = [a_server(site, f"PACS{number}") for number in range(15)]
    app = site.open("groups", id="new")
    app.text_input(key="group-name").set_value("Many")
    app.checkbox(key=f"group-nodes-{servers[3].id}-source").check()
    app.text_input(key="group-nodes-filter").set_value("pacs14").run()
    keys = {box.key for box in app.checkbox}
    assert f"group-nodes-{servers[3].id}-source" not in keys
    app.checkbox(key=f"group-nodes-{servers[14].id}-destination").check()
    click(app, "group-save")
    (group,) = groups.list(site.db, site.shell)
    assert group.nodes == {NodeRight(servers[3].id, source=True), NodeRight(servers[14].id, destination=True)}


def test_the_list_of_groups_counts_what_they_give(site: Site) -> None:
    site.sign_in_staff()
    a_group(site, "Radiologists", Permission.UPLOAD)
    app = site.open("groups")
    assert list(app.dataframe[0].value["Name"]) == ["Radiologists"]
    assert list(app.dataframe[0].value["Permissions"]) == [1]
    app.text_input(key="groups-q").set_value("nothing").run()
    assert "add one" in told(app)


def test_a_superuser_adds_a_user_who_gets_a_mail(site: Site) -> None:
    site.sign_in_superuser()
    group = a_group(site)
    app = site.open("users", id="new")
    app.text_input(key="new-user-username").set_value("dora")
    app.text_input(key="new-user-email").set_value("dora@example.org")
    app.text_input(key="new-user-first_name").set_value("Dora")
    app.multiselect(key="new-user-groups").set_value([group.id])
    app.checkbox(key="new-user-is_staff").check()
    click(app, "new-user-save")
    (user,) = accounts.list(site.db, site.shell, "dora")
    assert user.standing is Standing.ACTIVE
    assert (user.groups, user.is_staff, user.is_superuser) == ({group.id}, True, False)
    assert len(mails_to(site.db, "dora@example.org")) == 1


def test_what_is_wrong_with_a_new_user_stands_beside_the_fields(site: Site) -> None:
    site.sign_in_superuser()
    app = site.open("users", id="new")
    app.text_input(key="new-user-username").set_value("two words")
    app.text_input(key="new-user-email").set_value("no address")
    click(app, "new-user-save")
    assert "Username" in app.error[0].value
    assert "Mail address" in app.error[0].value
    assert accounts.count(site.db, site.shell, "two") == 0


def test_the_link_in_the_mail_leads_to_who_awaits_approval_and_lets_them_in(site: Site) -> None:
    site.sign_in_superuser()
    user, group = somebody_who_registered(site), a_group(site)
    app = site.open("users", id=str(user.id))
    assert "1 user awaits approval." in told(app)
    app.multiselect(key="user-groups").set_value([group.id])
    click(app, "user-approve")
    after = accounts.get(site.db, site.shell, user.id)
    assert after.standing is Standing.ACTIVE
    assert after.groups == {group.id}
    assert len(mails_to(site.db, "carla@example.org")) == 2


def test_every_field_of_an_account_can_be_changed_but_the_name(site: Site) -> None:
    site.sign_in_superuser()
    user = a_user(site.db, "bert")
    app = site.open("users", id=str(user.id))
    assert app.text_input(key="user-username").disabled
    wanted = {"Mail address", "First name", "Last name", "Phone number", "Department", "Groups"}
    assert wanted | {"Staff status", "Superuser status", "Active"} <= labels(app)
    app.text_input(key="user-department").set_value("Neuroradiology")
    app.checkbox(key="user-is_superuser").check()
    click(app, "user-save")
    after = accounts.get(site.db, site.shell, user.id)
    assert after.profile.department == "Neuroradiology"
    assert after.is_superuser
    assert after.is_staff


def test_an_account_is_deactivated_and_activated_again(site: Site) -> None:
    site.sign_in_superuser()
    user = a_user(site.db, "bert")
    click(site.open("users", id=str(user.id)), "user-deactivate")
    assert accounts.get(site.db, site.shell, user.id).standing is Standing.DEACTIVATED
    click(site.open("users", id=str(user.id)), "user-activate")
    assert accounts.get(site.db, site.shell, user.id).standing is Standing.ACTIVE


def test_nobody_deactivates_themselves(site: Site) -> None:
    me = site.sign_in_superuser()
    app = click(site.open("users", id=str(me.id)), "user-deactivate")
    assert "You cannot deactivate yourself" in told(app)


def test_a_link_for_a_new_password_is_sent(site: Site) -> None:
    site.sign_in_superuser()
    user = a_user(site.db, "bert")
    app = click(site.open("users", id=str(user.id)), "user-reset")
    assert "is on its way to bert@example.org" in told(app)
    assert len(mails_to(site.db, "bert@example.org")) == 1


def test_staff_see_accounts_and_change_none(site: Site) -> None:
    site.sign_in_staff()
    user = a_user(site.db, "bert")
    app = site.open("users", id=str(user.id))
    assert "Only superusers may change accounts." in told(app)
    assert app.text_input(key="user-email").disabled
    assert not any(button.key and button.key.startswith("user-") for button in app.button)
    assert "add" not in {button.key for button in app.button}
    assert "Only superusers may add users." in told(site.open("users", id="new"))


def test_users_are_found_by_standing_and_text(site: Site) -> None:
    site.sign_in_superuser()
    a_user(site.db, "bert")
    somebody_who_registered(site)
    app = site.open("users")
    assert sorted(app.dataframe[0].value["Username"]) == ["bert", "carla", "root"]
    app.selectbox(key="users-standing").set_value("Awaits approval").run()
    assert list(app.dataframe[0].value["Username"]) == ["carla"]
    app.selectbox(key="users-standing").set_value("All")
    app.text_input(key="users-q").set_value("bert").run()
    assert list(app.dataframe[0].value["Username"]) == ["bert"]


@pytest.mark.parametrize("screen", ["groups", "users", "servers", "folders", "project_settings", "broadcast", "audit"])
def test_these_pages_do_not_exist_for_others(site: Site, screen: str) -> None:
    site.sign_in(a_user(site.db, "bert"))
    with pytest.raises(ValueError, match=r"page"):
        site.open(screen)
