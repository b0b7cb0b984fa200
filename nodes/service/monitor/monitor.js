const plots = JSON.parse(document.getElementById("plots").textContent);
