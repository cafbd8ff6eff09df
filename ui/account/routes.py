"""The routes of the plain pages: signing in and out, registering, links from mails, passwords."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from models.db.engine import Database
from models.domain.errors import AditError, NotPermitted
from models.domain.people import Profile
from models.settings import Settings
from services import project
from services.people import accounts, sessions
from ui import addresses, sockets
from ui.account import forms, pages
from ui.account.cookies import Cookies
from ui.account.pages import FormPage, Link
from ui.account.provider import Provider
from ui.identity import signed_in

_AT_A_TIME = 4
"""Hashing a password takes 50 ms of a core and 19 MiB: a crowd of them must not keep others waiting."""

_TO_SIGN_IN = Link("Sign in", addresses.SIGN_IN)
_TO_START = Link("To the start page", addresses.HOME)

Values = dict[str, str]
_Result = TypeVar("_Result")


class Account:
    """The forms of one installation."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._settings = settings
        self._db = db
        self._cookies = Cookies(settings)
        self._provider = Provider(settings) if settings.oidc_issuer else None
        self._threads = CapacityLimiter(_AT_A_TIME)

    def router(self) -> APIRouter:
        """All routes. GET never changes anything: mail scanners and link previews open what they find."""
        router = APIRouter()
        for path, show, act in (
            ("/login", self.show_sign_in, self.sign_in),
            ("/logout", self.show_sign_out, self.sign_out),
            ("/register", self.show_register, self.register),
            ("/resend", self.show_resend, self.resend),
            ("/confirm", self.show_confirm, self.confirm),
            ("/forgot", self.show_forgot, self.forgot),
            ("/reset", self.show_reset, self.reset),
            ("/account/password", self.show_change_password, self.change_password),
        ):
            router.add_api_route(path, show, methods=["GET"], response_class=HTMLResponse, response_model=None)
            router.add_api_route(path, act, methods=["POST"], response_class=HTMLResponse, response_model=None)
        router.add_api_route(addresses.ALIVE, self.alive, methods=["GET"], response_model=None)
        if self._provider is not None:
            router.add_api_route(addresses.TO_PROVIDER, self.begin_at_provider, methods=["GET"], response_model=None)
            router.add_api_route(addresses.FROM_PROVIDER, self.come_back, methods=["GET"], response_model=None)
        return router

    async def alive(self) -> Response:
        """Whether the session lives: the gate answers when it does not."""
        return Response(status_code=204)

    async def show_sign_in(self, request: Request) -> Response:
        """The sign-in page, or where a person wanted to go who is signed in already."""
        following = addresses.local(request.query_params.get("next", addresses.HOME))
        if signed_in(request.scope):
            return RedirectResponse(following, 303)
        answer = await self._show_sign_in(request, following)
        if self._cookies.session in request.cookies:
            self._cookies.remove(answer, self._cookies.session)
        return answer

    async def sign_in(self, request: Request) -> Response:
        """Sign in with a password."""

        def act(values: Values) -> Response:
            name, password = values.get("identity", "").strip(), values.get("password", "")
            token = accounts.sign_in(self._db, self._settings, name, password, _address(request), _agent(request))
            return self._begin_session(request, token, values.get("next", addresses.HOME))

        following = request.query_params.get("next", addresses.HOME)
        return await self._act(request, lambda values: self._sign_in_page(values.get("next", following)), act)

    async def show_sign_out(self, request: Request) -> Response:
        """A button, for pages that cannot hold one."""
        return self._show(request, _SIGN_OUT)

    async def sign_out(self, request: Request) -> Response:
        """End this browser's session and every tab of it."""

        def act(_values: Values) -> Response:
            self._end_session(request)
            answer = RedirectResponse(addresses.SIGN_IN, 303)
            self._cookies.remove(answer, self._cookies.session)
            return answer

        return await self._act(request, _SIGN_OUT, act)

    async def show_register(self, request: Request) -> Response:
        """The registration form; nothing but a sentence where registration is closed."""
        if not self._settings.registration_open:
            text = "People cannot register themselves here. Ask an administrator for an account."
            return pages.message(self._settings, "Registration is closed", text, _TO_SIGN_IN, status=403)
        return self._show(request, _REGISTER)

    async def register(self, request: Request) -> Response:
        """Register somebody who then has to confirm the mail address."""

        def act(values: Values) -> Response:
            forms.check_repetition(values, "password")
            username, password = values.get("username", "").strip(), values.get("password", "")
            accounts.register(self._db, self._settings, username, _profile(values), password, _address(request))
            text = (
                "We have sent you a mail. Open the link in it to confirm your mail address. Then an administrator "
                "looks at your registration, and you get another mail as soon as you can sign in."
            )
            return self._done("Check your mail", text, Link("No mail has come", "/resend"))

        return await self._act(request, _REGISTER, act)

    async def show_resend(self, request: Request) -> Response:
        """Asks for the address of somebody whose confirmation mail did not come."""
        return self._show(request, _RESEND)

    async def resend(self, request: Request) -> Response:
        """Send the confirmation mail again; the answer is the same for every address."""

        def act(values: Values) -> Response:
            accounts.resend_confirmation(self._db, self._settings, values.get("email", "").strip(), _address(request))
            text = "If a registration with this address waits for confirmation, we have sent the mail again."
            return self._done("Check your mail", text, _TO_SIGN_IN)

        return await self._act(request, _RESEND, act)

    async def show_confirm(self, request: Request) -> Response:
        """The button behind the link of a confirmation mail."""
        return self._show(request, _confirm_page(request.query_params.get("token", "")))

    async def confirm(self, request: Request) -> Response:
        """Confirm a mail address; the link is used up."""

        def act(values: Values) -> Response:
            accounts.confirm_email(self._db, self._settings, values.get("token", ""), _address(request))
            text = "Thank you. An administrator looks at your registration; you get a mail as soon as you can sign in."
            return self._done("Your mail address is confirmed", text, _TO_START)

        return await self._act(request, lambda values: _confirm_page(values.get("token", "")), act)

    async def show_forgot(self, request: Request) -> Response:
        """Asks for the address of somebody who forgot the password."""
        return self._show(request, _FORGOT)

    async def forgot(self, request: Request) -> Response:
        """Send a link for a new password; the answer is the same for every address."""

        def act(values: Values) -> Response:
            accounts.request_reset(self._db, self._settings, values.get("email", "").strip(), _address(request))
            text = "If an account has this address, we have sent a mail with a link. The link is good for two hours."
            return self._done("Check your mail", text, _TO_SIGN_IN)

        return await self._act(request, _FORGOT, act)

    async def show_reset(self, request: Request) -> Response:
        """The form behind the link of a reset mail."""
        return self._show(request, _reset_page(request.query_params.get("token", "")))

    async def reset(self, request: Request) -> Response:
        """Set a new password by a link; it is used up, and all sessions of the account end."""

        def act(values: Values) -> Response:
            forms.check_repetition(values, "password")
            token, password = values.get("token", ""), values.get("password", "")
            accounts.reset_password(self._db, self._settings, token, password, _address(request))
            sockets.recheck()
            return self._done("Your password is changed", "You can sign in with it now.", _TO_SIGN_IN)

        return await self._act(request, lambda values: _reset_page(values.get("token", "")), act)

    async def show_change_password(self, request: Request) -> Response:
        """The form for those who know their password."""
        return self._show(request, _CHANGE_PASSWORD)

    async def change_password(self, request: Request) -> Response:
        """Change the password of who is signed in; all other sessions end."""

        def act(values: Values) -> Response:
            forms.check_repetition(values, "new")
            found = signed_in(request.scope)
            if found is None:
                raise NotPermitted("Your session has ended. Sign in again.")
            old, new = values.get("old", ""), values.get("new", "")
            accounts.change_password(self._db, self._settings, found.actor, old, new, found.session.id)
            sockets.recheck(found.user.id)
            return self._done("Your password is changed", "All other sessions of yours have ended.", _TO_START)

        return await self._act(request, _CHANGE_PASSWORD, act)

    async def begin_at_provider(self, request: Request) -> Response:
        """Send the browser to the provider, with a sealed note of what it must come back with."""
        provider, following = self._known_provider(), request.query_params.get("next", addresses.HOME)
        try:
            departure = await self._in_thread(partial(provider.begin, addresses.local(following)))
        except AditError as error:
            return await self._show_sign_in(request, following, error)
        answer = RedirectResponse(departure.url, 303)
        self._cookies.set(answer, self._note, departure.note, provider.note_seconds)
        return answer

    async def come_back(self, request: Request) -> Response:
        """Sign in with what the provider says about the person."""
        provider = self._known_provider()

        def act() -> Response:
            note, arrival = request.cookies.get(self._note, ""), dict(request.query_params)
            person, following = provider.complete(arrival, note)
            token = accounts.sign_in_with_provider(
                self._db,
                self._settings,
                person.subject,
                person.profile,
                person.username,
                person.email_is_verified,
                _address(request),
                _agent(request),
            )
            return self._begin_session(request, token, following)

        try:
            answer = await self._in_thread(act)
        except AditError as error:
            answer = await self._show_sign_in(request, addresses.HOME, error)
        self._cookies.remove(answer, self._note)
        return answer

    @property
    def _note(self) -> str:
        return f"{self._cookies.session}-oidc"

    def _known_provider(self) -> Provider:
        if self._provider is None:
            raise NotPermitted("Signing in by a provider is not set up.")
        return self._provider

    async def _show_sign_in(self, request: Request, following: str, error: AditError | None = None) -> Response:
        state = await self._in_thread(lambda: project.get(self._db))
        notice = "ADIT is under maintenance: only administrators can sign in." if state.maintenance else ""
        return self._show(request, self._sign_in_page(following), error=error, notice=notice)

    def _sign_in_page(self, following: str) -> FormPage:
        following = addresses.local(following)
        links = [Link("Forgot your password?", "/forgot"), Link("No confirmation mail?", "/resend")]
        if self._settings.registration_open:
            links.insert(0, Link("Register", "/register"))
        provider = None
        if self._provider is not None:
            target = addresses.sign_in(following).replace(addresses.SIGN_IN, addresses.TO_PROVIDER, 1)
            provider = Link(f"Sign in with {self._settings.oidc_name}", target)
        hidden = {"next": following}
        return FormPage("Sign in", "/login", "Sign in", forms.SIGN_IN, "", links, hidden, provider)

    def _begin_session(self, request: Request, token: str, following: str) -> Response:
        """Give the browser its new session. The one it had before is ended, whoever's it was."""
        self._end_session(request)
        answer = RedirectResponse(addresses.local(following), 303)
        self._cookies.set(answer, self._cookies.session, token)
        self._cookies.remove(answer, self._cookies.form)
        return answer

    def _end_session(self, request: Request) -> None:
        if old := request.cookies.get(self._cookies.session):
            sessions.sign_out(self._db, old)
            sockets.recheck()

    def _show(
        self,
        request: Request,
        page: FormPage,
        values: Values | None = None,
        error: AditError | None = None,
        notice: str = "",
    ) -> Response:
        browser = self._cookies.browser(request)
        answer = pages.form(self._settings, page, browser, values, error, notice)
        self._cookies.set(answer, self._cookies.form, browser)
        return answer

    def _done(self, title: str, text: str, *links: Link) -> Response:
        return pages.message(self._settings, title, text, *links)

    async def _act(
        self, request: Request, page: FormPage | Callable[[Values], FormPage], act: Callable[[Values], Response]
    ) -> Response:
        """Read the form and act on it in a thread; what is refused shows the form again, with the reason."""
        values: Values = {}
        try:
            values = await forms.read(request, self._settings, self._cookies.form)
            return await self._in_thread(partial(act, values))
        except AditError as error:
            shown = page if isinstance(page, FormPage) else page(values)
            return self._show(request, shown, values, error)

    async def _in_thread(self, act: Callable[[], _Result]) -> _Result:
        return await to_thread.run_sync(act, limiter=self._threads)


_SIGN_OUT = FormPage("Sign out", "/logout", "Sign out", lead="This ends your session in all tabs of this browser.")
_REGISTER = FormPage(
    "Register",
    "/register",
    "Register",
    forms.REGISTER,
    "After you have confirmed your mail address, an administrator looks at your registration.",
    (Link("I have an account", addresses.SIGN_IN),),
)
_RESEND = FormPage(
    "Confirmation mail",
    "/resend",
    "Send again",
    forms.MAIL,
    "We send the mail with the link again. Look into your spam folder too.",
    (_TO_SIGN_IN,),
)
_FORGOT = FormPage(
    "Forgot your password?",
    "/forgot",
    "Send a link",
    forms.MAIL,
    "We send you a mail with a link, by which you choose a new password.",
    (_TO_SIGN_IN,),
)
_CHANGE_PASSWORD = FormPage(
    "Change your password",
    "/account/password",
    "Change password",
    forms.CHANGE_PASSWORD,
    "All your other sessions end.",
    (Link("Back", "/profile"),),
)


def _confirm_page(token: str) -> FormPage:
    lead = "Press the button to confirm that the mail address is yours."
    links = (Link("The link does not work", "/resend"),)
    return FormPage("Confirm your mail address", "/confirm", "Confirm", (), lead, links, {"token": token})


def _reset_page(token: str) -> FormPage:
    links = (Link("The link does not work", "/forgot"),)
    return FormPage("Choose a new password", "/reset", "Set password", forms.RESET, "", links, {"token": token})


def _profile(values: Values) -> Profile:
    names = ("email", "first_name", "last_name", "phone_number", "department")
    return Profile(**{name: values.get(name, "").strip() for name in names})


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")[:255]
