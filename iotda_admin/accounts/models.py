from iotda_admin.accounts.throttle import LoginTries as LoginTries
