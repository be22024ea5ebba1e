"""The response to a request of an operation."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_htmx.http import push_url, reswap, retarget

from iotda_admin.core.http import render, wants_fragment
from iotda_admin.operations.counts import overall_outcome
from iotda_admin.operations.models import Operation
from iotda_admin.operations.web.presenters import result_context


def operation_response(request: HttpRequest, operation: Operation) -> HttpResponse:
    """Return the result inline for a swap, else redirect to the operation's page.

    If IoTDA could not be reached at all, the status says so, without a redirect.
    """
    status = overall_outcome(operation).http_status
    if status == 200 and not wants_fragment(request):
        return redirect(operation)
    response = result_response(request, operation, status)
    response["Content-Location"] = operation.get_absolute_url()
    if wants_fragment(request):
        push_url(response, operation.get_absolute_url())
    return response


def dialog_response(
    request: HttpRequest, template: str, context: dict[str, Any], status: int
) -> HttpResponse:
    """Return a page without htmx; with it, the content of the page's dialog."""
    response = render(request, template, context, part="dialog", status=status)
    if request.method == "POST" and wants_fragment(request):
        # The form's target is a part of the page; this answer belongs into the dialog.
        reswap(retarget(response, "#dialog-body"), "innerHTML")
    return response


def result_response(
    request: HttpRequest, operation: Operation, status: int = 200
) -> HttpResponse:
    """Return the page of an operation, or its fragment."""
    context = result_context(operation)
    return render(
        request, "operations/operation.html", context, part="result", status=status
    )
