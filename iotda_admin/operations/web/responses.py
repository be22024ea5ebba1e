"""The response to a request of an operation."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_htmx.http import push_url

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


def result_response(
    request: HttpRequest, operation: Operation, status: int = 200
) -> HttpResponse:
    """Return the page of an operation, or its fragment."""
    context = result_context(operation)
    return render(
        request, "operations/operation.html", context, part="result", status=status
    )
